"""The checks of the documentation's build can fail, and pages that repeat something agree with its source.

Tests that build pages are skipped without Sphinx.
"""

import ast
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"


def module(name):
    """A module of the documentation's build."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def build(tmp_path, suppressed="toc.not_included", builder="dummy", **pages):
    """Build pages strictly, with the documentation's configuration; return Sphinx's exit status and output."""
    pytest.importorskip("sphinx_book_theme")
    source = tmp_path / "source"
    source.mkdir()
    for name, text in {"index": "# Index\n", **pages}.items():
        (source / f"{name}.md").write_text(text)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", builder, "-c", str(DOCS)]
    command += ["-D", f"suppress_warnings={suppressed}", str(source), str(tmp_path / "built")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


API = (DOCS / "api.md").read_text()


def test_build__api_page_is_complete(tmp_path):
    status, said = build(tmp_path, api=API)
    assert status == 0, said


ENTRIES = (
    ".. autofunction:: jconvt.choose\n",
    ".. autofunction:: jconvt.tensorflow.atrous_conv2d_transpose\n",
    ".. autoclass:: jconvt.Spec\n   :members:\n",
    ".. autoclass:: jconvt.equinox.ConvTranspose3d\n",
)


def test_build__public_names_without_an_entry_fail(tmp_path):
    page = API
    for entry in ENTRIES:
        assert entry in page
        page = page.replace(entry, "")
    status, said = build(tmp_path, api=page)
    assert status != 0
    for entry in ENTRIES:
        assert f"public, but has no entry: {entry.split()[2]} [" in said


def test_undocumented__finds_methods_without_an_entry():
    names = module("public_names")
    entries = {"jconvt.Spec", "jconvt.Spec.rank", "jconvt.initializers"}
    missing = names.undocumented(entries)
    assert {"jconvt.Spec.to_torch", "jconvt.Axis", "jconvt.initializers.icnr", "jconvt.keras.conv_transpose"} <= {
        *missing
    }
    assert not entries & {*missing}
    # An entry of the same function under another name counts; one of another class's method does not.
    assert "jconvt.tensorflow.conv2d_transpose" in missing
    assert "jconvt.tensorflow.conv2d_transpose" not in names.undocumented({"jconvt.conv2d_transpose"})
    assert "jconvt.Axis.input_size" in names.undocumented({"jconvt.Axis", "jconvt.Spec.input_sizes"})


NOTEBOOK = """---
file_format: mystnb
kernelspec:
  name: python3
---

# Page

```{code-cell}
assert 67 == 603
```
"""


SUPPRESSED = "toc.not_included,jconvt.undocumented"  # these tests have no page of the API


WRONG = {
    "page": ("# Page\n\n[nowhere](nowhere.md)\n", "nowhere.md"),
    "heading": ("# Page\n\n[nowhere](#no-such-heading)\n", "no-such-heading"),
    "reference": ("# Page\n\n{func}`jconvt.no_such_function`\n", "no_such_function"),
    "cell": (NOTEBOOK, "assert 67 == 603"),
}


def test_build__wrong_pages_fail(tmp_path):
    status, said = build(tmp_path, SUPPRESSED, **{name: page for name, (page, _) in WRONG.items()})
    assert status != 0
    for name, (_, complaint) in WRONG.items():
        assert re.search(rf"{name}\.md\b.* (WARNING|ERROR): ", said), said  # a strict build fails on any of them
        assert complaint in said


def test_build__correct_page_passes(tmp_path):
    status, said = build(tmp_path, SUPPRESSED, page=NOTEBOOK.replace("67 == 603", "67 != 603"))
    assert status == 0, said


def test_build__dead_links_in_raw_html_fail(tmp_path):
    page = '# Page\n\n```{raw} html\n<a href="_static/none.html">nowhere</a>\n```\n'
    status, said = build(tmp_path, SUPPRESSED, "html", page=page)
    assert status != 0
    assert "leads nowhere: page.html: _static/none.html" in said
    assert "index.html:" not in said


def test_dead_links__finds_missing_files_and_anchors(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "there.html").write_text('<p id="place"><a href="../here.html">back</a>')
    links = ["folder/there.html#place", "folder/there.html#", "#", "https://example.org/none", "mailto:nobody"]
    dead = ["folder/there.html#none", "#none", "none.html", "folder/"]
    (tmp_path / "here.html").write_text("".join(f'<a href="{link}">' for link in links + dead))
    assert module("dead_links").dead_links(tmp_path) == sorted(f"here.html: {link}" for link in dead)


def test_pages__measured_numbers_are_those_of_the_results():
    page = (DOCS / "why_not_lax.md").read_text()
    (results,) = (ROOT / "benchmarks" / "results").glob("amd-epyc-2-cores-*-float32.md")
    measured = [
        {row[0]: row[4] for row in cells(part) if len(row) == 11} for part in results.read_text().split("\n## ")[1:]
    ]
    said = [row for row in cells(page) if len(row) == 3 and "`" in row[0]]
    assert len(said) == 8
    for layer, *ratios in said:
        (name,) = re.findall(r"`(.+)`", layer)
        assert ratios == [ratio[name] for ratio in measured], name


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_pages__chinese_page_has_the_same_code():
    def code(page):
        found = re.findall(r"^```\{code-cell\}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
        return [re.sub(r" +#.*", "", cell) for cell in found]

    assert code("why_67.zh.md") == code("why_67.md") != []


@pytest.mark.parametrize(("page", "language"), [("why_67.md", "en"), ("why_67.zh.md", "zh")])
def test_pages__interactive_page_is_the_one_that_is_written(page, language):
    (names,) = re.findall(r"^INTERACTIVE = (.+)$", (DOCS / "conf.py").read_text(), re.MULTILINE)
    name = ast.literal_eval(names)[language]
    assert {*re.findall(r'(?:src|href)="(.+?)"', (DOCS / page).read_text())} == {f"_static/{name}"}


def test_readme__commands_are_those_of_ci():
    commands = re.findall(r"<!-- command: \w+ -->\n```bash\n(.+)\n```", (ROOT / "README.md").read_text())
    assert len(commands) == 2
    assert {*commands} <= {*(ROOT / ".ci" / "run").read_text().splitlines()}
