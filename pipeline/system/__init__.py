"""What the process runs on and in: cores, memory, devices, threads, spans of time."""
