"""Listeners that write runs into the trackers that people use: TensorBoard and MLflow."""
