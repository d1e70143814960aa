"""Compiled programs, kept from one command to the next."""

import os
from pathlib import Path

import jax

__all__ = ["use_cache"]


def use_cache() -> None:
    """Makes JAX keep what it compiles in the user's cache folder, such as ~/.cache/ntm_jax.

    Compiling takes most of a short command. JAX's own settings win: JAX_COMPILATION_CACHE_DIR names
    another folder, JAX_ENABLE_COMPILATION_CACHE=false keeps nothing. A program that changed, or
    another version or processor, is compiled anew.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "ntm_jax"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # Not only the large programs: the small ones add up to seconds.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
