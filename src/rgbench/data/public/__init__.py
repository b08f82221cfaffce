"""Public files: fetched, checked, unpacked and read without running anything of theirs."""
