"""The library: what a school's students and teachers open in their browsers."""
