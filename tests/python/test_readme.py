"""What README.md shows of Python runs."""

import pathlib
import re

REPOSITORY = pathlib.Path(__file__).parents[2]


def test_the_lines_that_rewrite_a_file(tmp_path, monkeypatch, testdata, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    block, *_ = [block for block in blocks if "tfquant.rewrite" in block]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "testdata").mkdir()
    (tmp_path / "testdata" / "mobilenet_v1.meta").write_bytes((testdata / "mobilenet_v1.meta").read_bytes())
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out == "224 new variables in 28 layers\n"
    assert (tmp_path / "model_q.meta").stat().st_size > 1_000_000
