"""What the fused kernels take of an H100, by compiling them for one, for which no GPU is needed.

    pip install --no-deps jax-cuda12-plugin jax-cuda12-pjrt nvidia-cuda-nvcc-cu12
    python -m benchmarks.fused_compile

The plugins are to be of jaxlib's version. benchmarks/results/fused_compile.json gets, for each
machine and kernel, the threads of a program, what of registers and shared memory it is given, and
how much is spilled out of the registers; and what the scan launches in a time step. It says nothing
of time.
"""

import importlib.util
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app
from jax.experimental import topologies

from benchmarks import commands
from ntm_jax import build, fused, models, weight_gradients

_CONFIGS = {
    "copy_ntm, 22 slots": ("copy_ntm", {"num_slots": 22}),
    "copy_ntm, 128 slots": ("copy_ntm", {}),
    "copy_ntm, 512 slots": ("copy_ntm", {"num_slots": 512}),
    "copy_ntm_lstm, 128 slots": ("copy_ntm_lstm", {}),
    "copy_ntm_lstm, 128 slots, 4 read heads, 2 write heads": (
        "copy_ntm_lstm",
        {"num_read_heads": 4, "num_write_heads": 2},
    ),
}
_BATCH, _STEPS = 32, 41
_ARCHITECTURE = "sm_90a"
# Of an H100 SXM, as far as a compiler asks.
_TARGET = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
}
"""


def main(argv: list[str]) -> None:
    """Compiles every machine and writes down what the compilers say."""
    del argv
    nvcc = Path(importlib.util.find_spec("nvidia.cuda_nvcc").submodule_search_locations[0])
    with tempfile.TemporaryDirectory() as folder:
        # Before the first use of a backend, which reads them.
        os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
        os.environ["XLA_FLAGS"] = f"--xla_dump_to={folder} --xla_gpu_cuda_data_dir={nvcc}"
        jax.config.update("jax_platforms", "cpu")
        jax.devices()
        (device,) = topologies.get_topology_desc(
            "h100", "cuda", target_config=_TARGET, topology="1x1x1"
        ).devices
        compiler = _Compiler(device, Path(folder), nvcc / "bin/ptxas")
        rows = []
        for name, (config, overrides) in _CONFIGS.items():
            rows += [{"machine": name} | kernel for kernel in compiler.kernels(config, overrides)]
            print(rows[-2:], flush=True)
        launches = compiler.scan_launches("copy_ntm")
    document = {"jax": jax.__version__, "target": _ARCHITECTURE, "batch": _BATCH}
    document |= {"kernels": rows, "scan_launches": {"config": "copy_ntm", **launches}}
    commands.write(commands.RESULTS / "fused_compile.json", document)


class _Compiler:
    """XLA for one device, with its dumps in a folder; and what they say."""

    def __init__(self, device: Any, folder: Path, ptxas: Path) -> None:
        self._folder, self._ptxas = folder, ptxas
        self._here = jax.NamedSharding(jax.sharding.Mesh(np.array([device]), "device"), jax.P())

    def kernels(self, config: str, overrides: dict[str, int]) -> list[dict[str, Any]]:
        """What both kernels of a machine take."""
        model, params, inputs = _model(config, overrides)
        carry = model.cell.initialize_carry(jax.random.key(0), (_BATCH, inputs.shape[-1]))

        def run(params: Any, inputs: jax.Array) -> jax.Array:
            return fused.run(model.cell, params["cell"], carry, inputs, interpret=False)[1]

        sequence = self._compile(run, params, inputs)
        return [self._kernel(name, sequence) for name in ("fused_forward", "fused_backward")]

    def scan_launches(self, config: str) -> dict[str, int]:
        """Kernels and copies in a time step of the scan, as training differentiates it."""
        model, params, inputs = _model(config, {})
        apply = weight_gradients.deferred(model)
        sequence = self._compile(lambda *args: apply(*args, {}), params, inputs)
        bodies = re.findall(r"body:\n((?: .*\n)+)", sequence)
        counts = [len(re.findall(r"^ +\d+: (?!kDynamicSlice)", body, re.M)) for body in bodies]
        return dict(zip(("forward", "backward"), counts, strict=True))

    def _compile(self, run: Callable[..., jax.Array], params: Any, inputs: Any) -> str:
        """Compiles the gradient of the summed outputs; the list of what is launched."""
        for path in self._folder.glob("*.*"):
            if path.is_file():
                path.unlink()
        args = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._here),
            (params, inputs),
        )
        gradient = jax.grad(lambda params, inputs: jnp.sum(run(params, inputs)))
        traced = jax.jit(gradient, out_shardings=self._here).trace(*args)
        traced.lower(lowering_platforms=("cuda",)).compile()
        (path,) = self._folder.glob("*.thunk_sequence.txt")
        return path.read_text()

    def _kernel(self, name: str, sequence: str) -> dict[str, Any]:
        files = self._folder.glob("*.ptx")
        (path,) = (path for path in files if f".entry {name}" in path.read_text())
        words = [self._ptxas, "-v", f"-arch={_ARCHITECTURE}", path, "-o", os.devnull]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stderr
        launch = re.search(rf"{name} .*threads: \[(\d+).*shared_memory: (\d+)", sequence)
        return {
            "kernel": name.removeprefix("fused_"),
            "threads": int(launch[1]),
            "registers": int(re.search(r"Used (\d+) registers", said)[1]),
            "spilled_bytes": int(re.search(r"(\d+) bytes spill stores", said)[1]),
            "shared_bytes": int(launch[2]),
        }


def _model(name: str, overrides: dict[str, int]) -> tuple[models.NTM, Any, Any]:
    """The model of a config, and the shapes of its parameters and inputs."""
    config = commands.load_config(commands.config_file(name))
    config.model.update(overrides)
    model, task = build.make_model(config), build.make_task(config)
    inputs = jax.ShapeDtypeStruct((_BATCH, _STEPS, task.input_features), jnp.float32)
    return model, jax.eval_shape(model.init, jax.random.key(0), inputs)["params"], inputs


if __name__ == "__main__":
    app.run(main)
