"""Devices, processes, signals and compilation."""
