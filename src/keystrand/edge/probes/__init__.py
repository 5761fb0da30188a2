"""Probes: one file each, plan the jobs, judge the answers; the scheduler alone opens connections."""
