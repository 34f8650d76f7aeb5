#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a result depends on besides the code: CPU, kernel, compiler, governor, revision."""
import os
import platform
import subprocess


def output(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def first(path, key=""):
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith(key):
                    return line.split(":", 1)[-1].strip() if key else line.strip()
    except OSError:
        pass
    return ""


def fingerprint():
    return {
        "cpu": first("/proc/cpuinfo", "model name"),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "governor": first("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "compiler": output("cc", "--version").split("\n")[0],
        "dpdk": output("pkg-config", "--modversion", "libdpdk"),
        "revision": output("git", "rev-parse", "--short", "HEAD") + ("+" if output("git", "status", "--porcelain") else ""),
    }
