"""On what a run was made: versions, commit, hardware, settings of the shell."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import resource
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

from brainexp import __version__
from brainexp.checkout import checkout, shortened

#: Packages whose version can change a number.
PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "transformers",
    "tokenizers",
    "himalaya",
    "scikit-learn",
    "pandas",
    "nilearn",
    "mlflow",
)
#: Files beside ``result.json``: all installed packages, and changes that no commit holds.
PACKAGES_FILE, DIFF_FILE = "environment.txt", "git.diff"
#: Settings of the shell that can change a number, or where things are found.
VARIABLES = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|GOTO|BLIS|VECLIB|NUMEXPR|CUDA|CUBLAS|CUDNN|NVIDIA|ROCR|HIP|TORCH|PYTORCH|ATEN|DNNL|ONEDNN|HF"
    r"|TRANSFORMERS|TOKENIZERS|BRAINEXP)_\w+|PYTHONHASHSEED|ATEN_CPU_CAPABILITY"
)
SECRET = re.compile("TOKEN(?!IZERS)|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|KEY", re.IGNORECASE)
HIDDEN = "(not recorded)"
#: Name and password in an address.
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
#: Instruction sets by which libraries choose how they add and multiply.
INSTRUCTIONS = (
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Describe software and hardware as values that JSON can hold.

    What libraries know of processors, threads and GPUs is told only where they are loaded: they are not worth their seconds
    here.
    """
    code = checkout(Path(__file__).parent)
    return {
        "brainexp": __version__,
        "git_commit": code.commit,
        "git_diff": {"file": DIFF_FILE, "sha256": _sha256(code.diff)} if code.diff else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "os": _os(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cpu_count": os.cpu_count(),
        "cpu": _cpu(),
        "threads": _threads(),
        "gpus": _gpus(),
        "cuda": _cuda(),
        "variables": _variables(),
        "working_directory": str(Path.cwd()),
        "command": [without_credentials(word) for word in sys.argv[1:]],
    }


def attachments() -> dict[str, str]:
    """Contents of the files that tell the rest, by name: installed packages, and uncommitted changes where there are any."""
    diff = checkout(Path(__file__).parent).diff
    packages = "".join(f"{name}=={number}\n" for name, number in installed().items())
    return {PACKAGES_FILE: packages, **({DIFF_FILE: shortened(diff)} if diff else {})}


def installed() -> dict[str, str]:
    """Versions of all installed distributions by name, as pip lists them."""
    found: dict[str, str] = {}
    for one in distributions():
        if one.read_text("METADATA") or one.read_text("PKG-INFO"):  # else a folder that a broken installation left
            name = one.metadata["Name"]
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), one.version)  # the first on the path is imported
    return dict(sorted(found.items()))


def made_with() -> dict[str, str | None]:
    """What can change the last digits of computed features."""
    return {
        "brainexp": __version__,
        **{name: _version(name) for name in ("torch", "transformers")},
        "cpu": _cpu_model(),
    }


def without_credentials(text: str) -> str:
    """Return a text without names and passwords in its addresses.

    >>> without_credentials("tracking.uri=https://me:secret@tracker:5000/x")
    'tracking.uri=https://***@tracker:5000/x'
    """
    return CREDENTIALS.sub("***@", text)


def public(value: Any) -> Any:
    """Return a JSON-like value, such as a config, without names and passwords in its addresses."""
    if isinstance(value, Mapping):
        return {name: public(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [public(one) for one in value]
    return without_credentials(value) if isinstance(value, str) else value


def git_commit(folder: Path) -> str | None:
    """Commit of the checkout that tracks a folder, with ``-dirty`` for uncommitted changes; None outside of one."""
    return checkout(folder).commit


def peak_gpu_memory_bytes() -> float:
    """Most memory that torch has held on any one GPU, in bytes; 0 without one."""
    if "torch" not in sys.modules:
        return 0.0
    import torch

    return float(max((torch.cuda.max_memory_allocated(gpu) for gpu in range(torch.cuda.device_count())), default=0))


def peak_memory_bytes() -> float:
    """Most memory that this process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def memory_available() -> float:
    """Bytes that this process may still take: of the machine, or of its control group as schedulers set it."""
    import psutil

    free = float(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return free


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _os() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):  # no Linux, or one that does not say
        return f"{platform.system()} {platform.release()}"


def _cpu_model() -> str:
    told = _cpuinfo()
    return told.get("model name") or told.get("CPU part") or platform.processor() or platform.machine()


def _cpu() -> dict[str, Any]:
    told = _cpuinfo()
    flags = {*told.get("flags", told.get("Features", "")).split()}
    found: dict[str, Any] = {"model": _cpu_model(), "instructions": [one for one in INSTRUCTIONS if one in flags]}
    if "torch" in sys.modules:
        import torch

        found["torch"] = torch.backends.cpu.get_cpu_capability()
    return found


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _threads() -> list[dict[str, Any]]:
    """Libraries that compute in threads, as far as they are loaded: what they are, and how many threads each may take."""
    from threadpoolctl import threadpool_info

    kept = ("user_api", "internal_api", "version", "num_threads", "threading_layer", "architecture")
    found = [{name: one[name] for name in kept if one.get(name) is not None} for one in threadpool_info()]
    if "torch" in sys.modules:
        import torch

        found.append({"user_api": "torch", "internal_api": "torch", "num_threads": torch.get_num_threads()})
    return sorted(found, key=lambda one: [str(one.get(name)) for name in kept])


def _gpus() -> list[str]:
    if "torch" not in sys.modules:
        return []
    import torch

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def _cuda() -> dict[str, Any] | None:
    """Versions and settings that decide what a GPU computes; None where there is none, or torch is not loaded."""
    if not _gpus():
        return None
    import torch

    capabilities = (torch.cuda.get_device_capability(number) for number in range(torch.cuda.device_count()))
    return {
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "capabilities": [f"{major}.{minor}" for major, minor in capabilities],
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def _driver() -> str | None:
    try:
        told = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"Kernel Module.*?(\d+\.\d+(?:\.\d+)?)", told)
    return found[1] if found else None


def _variables() -> dict[str, str]:
    """Settings of the shell by name; of those that may be secret, only that they are there."""
    chosen = sorted(name for name in os.environ if VARIABLES.fullmatch(name))
    return {name: HIDDEN if SECRET.search(name) else without_credentials(os.environ[name]) for name in chosen}
