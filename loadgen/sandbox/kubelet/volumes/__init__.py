"""What a pod mounts: volumes as folders and files, and what is projected into them."""
