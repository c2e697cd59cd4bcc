"""What a type checker makes of the package; nothing is run."""

from typing import Any

import tfquant

rewritten: tfquant.Rewritten[Any] = tfquant.rewrite(b"", match="topology", weight_bits=4, include=["a"], default_range=(-1, 1))
names: list[str] = rewritten.variables + rewritten.update_ops
document: dict[str, Any] = tfquant.check("model.pb", target="litert-int8", full_integer=True)
tfquant.calibrate("model.pb", data={"x": "samples.npy"}, percentile=99.9).write("out.pb")
tfquant.rewrite(b"", match="best")  # type: ignore[arg-type]
tfquant.rewrite(b"", weigth_bits=4)  # type: ignore[call-arg]
