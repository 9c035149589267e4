"""Write the generated files of schemas/, and remove those that are no longer made."""

from pathlib import Path

from openhuman_core.app import generated_schemas

FOLDER = Path(__file__).parent.parent / "schemas"

files = generated_schemas()
for old in FOLDER.glob("methods/*.json"):
    if f"methods/{old.name}" not in files:
        old.unlink()
for name, text in files.items():
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
