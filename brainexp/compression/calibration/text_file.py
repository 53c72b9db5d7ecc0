"""Text from a file of the user's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainexp.compression.calibration.options import Sampling
from brainexp.containers import Stimulus
from brainexp.errors import ConfigError
from brainexp.registry import CALIBRATIONS, did_you_mean

#: How files are read, by how their names end.
KINDS = (".txt", ".jsonl", ".parquet")


@CALIBRATIONS.register("text_file")
@dataclass(frozen=True, kw_only=True)
class TextFile(Sampling):
    """A text file in UTF-8, lines of JSON, or a column of a parquet table.

    Parameters
    ----------
    path : str
        Ends in .txt (one text), .jsonl (an object per line) or .parquet (a text per row).
    field : str
        Key of the text in each line of a .jsonl, or column of a .parquet; a .txt has none.
    samples, tokens, seed
        See `Sampling`.
    """

    path: str
    field: str = "text"

    def texts(self, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """Read the file.

        Raises
        ------
        ConfigError
            If it is not there, not UTF-8, empty, of another kind, or has no such field.
        """
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise ConfigError(f"calibration 'text_file': there is no file {path}. Correct path.")
        if path.suffix not in KINDS:
            raise ConfigError(f"calibration 'text_file': {path} is of an unknown kind. Known: {', '.join(KINDS)}.")
        found = tuple(text for text in self._read(path) if text.strip())
        if not found:
            raise ConfigError(f"calibration 'text_file': {path} has no text. Give another file.")
        return found

    def _read(self, path: Path) -> Iterator[str]:
        if path.suffix == ".parquet":
            yield from self._column(path)
            return
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"calibration 'text_file': {path} is not UTF-8 (byte {error.start}: {error.reason}). Convert it: "
                "iconv -f latin1 -t utf-8"
            ) from None
        if path.suffix == ".txt":
            yield text
            return
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield self._of_line(line, f"{path}, line {number}")

    def _of_line(self, line: str, where: str) -> str:
        try:
            told = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"calibration 'text_file': {where} is no JSON: {error}. Correct the file.") from None
        if not isinstance(told, dict) or self.field not in told:
            known = told if isinstance(told, dict) else ()
            raise ConfigError(
                f"calibration 'text_file': {where} has no {self.field!r}.{did_you_mean(self.field, known)}"
            )
        return self._text(told[self.field], where)

    def _column(self, path: Path) -> Iterator[str]:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile

        try:
            table = ParquetFile(path)
        except ArrowInvalid as error:
            raise ConfigError(f"calibration 'text_file': {path} is no parquet table: {error}") from None
        with table:
            known = table.schema_arrow.names
            if self.field not in known:
                raise ConfigError(
                    f"calibration 'text_file': {path} has no {self.field!r}.{did_you_mean(self.field, known)}"
                )
            for batch in table.iter_batches(columns=[self.field]):
                yield from (self._text(value, str(path)) for value in batch.column(0).to_pylist())

    def _text(self, value: Any, where: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ConfigError(
                f"calibration 'text_file': {self.field!r} of {where} is no text but {type(value).__name__}. Give another "
                "field."
            )
        return value
