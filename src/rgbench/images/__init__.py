"""From pixels in a file to batches on a device: reading, preprocessing, augmentation, batches.

`rgbench.images.fits` and `rgbench.images.preprocess` need NumPy alone; `rgbench.images.augment` and
`rgbench.images.batches` need torch. Nothing is imported here, so that the former stay light.
"""
