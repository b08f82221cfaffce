"""What the commands do: call the library, and print what it gives; one module for each family of commands."""
