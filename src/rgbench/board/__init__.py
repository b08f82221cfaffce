"""The board: pages that set the results of bundles side by side, task by task, and open without a server."""
