"""How JAX compiles for the commands, and that it keeps what it compiled."""

import importlib.util
import os
from pathlib import Path

import jax

__all__ = ["use_cache", "use_quick_compiler"]

# A step of a machine is many small operations, from which LLVM's last passes gain nothing. How much
# sooner training begins is measured by benchmarks/start_up.py.
_FLAGS = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
# Flags are no interface of XLA's, and one that it does not know ends the process.
_KNOWN_BEFORE = (0, 11)


def use_quick_compiler() -> None:
    """Makes JAX spend less on compiling for a CPU. Call it before anything else of JAX runs.

    XLA_FLAGS in the environment win. With a plugin for another device nothing changes.
    """
    accelerated = any(map(importlib.util.find_spec, ("jax_plugins", "libtpu")))
    if jax.__version_info__ < _KNOWN_BEFORE and not accelerated:
        # Of two flags of one name XLA takes the last.
        os.environ["XLA_FLAGS"] = f"{_FLAGS} {os.environ.get('XLA_FLAGS', '')}".strip()


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
