"""Compile-time settings of JAX for the scripts: XLA flags and the persistent compilation cache."""

import importlib.util
import os
import sys
import warnings
from pathlib import Path

import jax

__all__ = ["enable_compilation_cache", "set_fast_compile_flags"]

# Both save seconds of compilation, which benchmarks/startup.py measures. With them a training step
# takes about as long, and a forward pass longer.
_FLAGS = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
# XLA flags are not stable, and an unknown flag aborts the process.
_FLAGS_VALID_BEFORE = (0, 11)


def set_fast_compile_flags() -> None:
    """Reduces the compile time on CPU. Call it before any other JAX function.

    `XLA_FLAGS` in the environment take precedence. Does nothing if a plugin for another device is
    installed.
    """
    has_accelerator_plugin = any(map(importlib.util.find_spec, ("jax_plugins", "libtpu")))
    if jax.__version_info__ < _FLAGS_VALID_BEFORE and not has_accelerator_plugin:
        # XLA uses the last value of a repeated flag.
        os.environ["XLA_FLAGS"] = f"{_FLAGS} {os.environ.get('XLA_FLAGS', '')}".strip()


def enable_compilation_cache() -> None:
    """Makes JAX cache compiled programs in `ntm_jax` under the user's cache directory.

    JAX's own settings take precedence: `JAX_COMPILATION_CACHE_DIR` sets another directory,
    `JAX_ENABLE_COMPILATION_CACHE=false` turns the cache off. Without a directory that can be
    written to, there is no cache, and standard error gets one line.
    """
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    directory: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    try:
        if directory is None:
            caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            directory = str(caches / "ntm_jax")
        if directory and "://" not in directory:
            Path(directory).mkdir(parents=True, exist_ok=True)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise PermissionError(f"cannot write to {directory}")
    except (OSError, RuntimeError, ValueError) as error:
        script, reason = Path(sys.argv[0]).name, str(error).rstrip(".")
        message = f"{script}: warning: no compilation cache: {reason}; set XDG_CACHE_HOME"
        print(message, file=sys.stderr)
        directory = ""
    jax.config.update("jax_compilation_cache_dir", directory)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # By default JAX caches only programs that take a second to compile.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
