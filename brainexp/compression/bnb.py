"""What the compressions of bitsandbytes have in common."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from brainexp.compression.options import Compressing
from brainexp.interfaces import Blueprint, Uncompressed

#: Libraries that transformers needs for it.
LIBRARIES = ("bitsandbytes", "accelerate")


@dataclass(frozen=True)
class BitsAndBytes(Compressing):
    """Quantization of bitsandbytes, layer by layer as weights are read, without text.

    Parameters
    ----------
    skip_modules : tuple of str
        Linear layers that stay as they are, by the end of their names or the beginning, such as "o_proj" or
        "model.layers.0"; heads always stay.
    """

    needs_all_weights: ClassVar[str | None] = "bitsandbytes cannot leave packed weights on the disk"

    skip_modules: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name in two words, such as "bnb nf4", and what differs from the default."""
        return super().label.replace("_", " ", 1)

    def _decisive(self) -> Iterator[str]:
        if self.skip_modules:
            yield f"without {'+'.join(self.skip_modules)}"

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        for library in LIBRARIES:
            if importlib.util.find_spec(library) is None:
                yield f"needs {library}, which is not installed. Install it: pip install brainexp[compress]"
        if blueprint.device.split(":")[0] not in ("cpu", "cuda"):
            yield f"runs on cpu and cuda, but model.device={blueprint.device}"
        layers = [name for name in blueprint.linear if name not in blueprint.head]
        if not layers:
            yield f"a {blueprint.family} has no linear layers that it could change. Give compression=none."
        if _has_experts(blueprint.family):
            yield (
                f"does not reach the experts of a {blueprint.family}, which transformers keeps in one tensor, so most "
                "weights would stay as they are. Take a model without experts, or a checkpoint that is quantized already."
            )
        for pattern in self.skip_modules:
            if not any(_kept(name, (pattern,)) for name in layers):
                parts = sorted({name.rpartition(".")[2] for name in layers})
                yield f"skip_modules={pattern!r} is no linear layer of the model. Layers end in: {', '.join(parts)}."
        if layers and not self.modules(blueprint):
            yield f"skip_modules={list(self.skip_modules)} leaves no layer to change. Give fewer."

    def modules(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Return the linear layers that are changed."""
        kept = self._kept_modules(blueprint)
        return tuple(name for name in blueprint.linear if not _kept(name, kept))

    def _kept_modules(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Heads, what was asked for, and layers that transformers keeps in full precision, such as T5's "wo"."""
        return (*blueprint.head, *self.skip_modules, *_always_kept(blueprint.family))

    def compress(self, given: Uncompressed) -> Any:
        """Return the network whose layers were quantized as they were read; on a GPU, by the GPU."""
        from transformers import BitsAndBytesConfig

        kept = list(self._kept_modules(given.blueprint))
        settings = self._settings(given.blueprint)
        config = BitsAndBytesConfig(llm_int8_skip_modules=kept, **settings)  # type: ignore[no-untyped-call]
        return given.network(quantization_config=config, device_map=given.blueprint.device)

    def _settings(self, blueprint: Blueprint) -> dict[str, Any]:
        """Options of transformers' BitsAndBytesConfig."""
        raise NotImplementedError


def _kept(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether transformers leaves a layer as it is."""
    from transformers.quantizers.quantizers_utils import should_convert_module

    return not should_convert_module(name, list(patterns))


def _has_experts(family: str) -> bool:
    from transformers import CONFIG_MAPPING

    if family not in CONFIG_MAPPING:
        return False
    return any(
        hasattr(CONFIG_MAPPING[family], name) for name in ("num_experts", "num_local_experts", "n_routed_experts")
    )


def _always_kept(family: str) -> tuple[str, ...]:
    """Parts of names of layers that transformers does not quantize."""
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    kind = MODEL_MAPPING[CONFIG_MAPPING[family]] if family in CONFIG_MAPPING else None
    return tuple(getattr(kind, "_keep_in_fp32_modules", None) or ())
