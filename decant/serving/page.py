"""The page at /docs: self-contained, so that it works offline."""

import html
import json
from typing import Any

from decant.runtime.engine import Family

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Decant: recommendations</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }}
code, pre, textarea {{ font: 14px/1.4 ui-monospace, monospace; }}
pre, textarea {{ box-sizing: border-box; width: 100%; padding: .8rem; border: 1px solid #bbb;
  border-radius: 4px; background: #f6f6f4; color: #222; overflow: auto; }}
button {{ font: inherit; padding: .3rem 1.2rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid #ddd; }}
summary {{ cursor: pointer; }}
</style>
<h1>Decant</h1>
<p>{description} <a href="healthz">Served release</a> ·
<a href="openapi.json">OpenAPI document</a></p>
<h2>Try it: <code>POST /recommend</code></h2>
<label for="body">Request</label>
<textarea id="body" rows="16" spellcheck="false">{example}</textarea>
<p><button id="send" type="button">Send</button> <span id="status" role="status"></span></p>
<pre id="answer" aria-label="Answer">Nothing sent yet.</pre>
{tables}
<h2>Errors</h2>
<table><tr><th>Status<th>When</tr>{errors}</table>
<p>The body of an error is <code>{{"error": "one line"}}</code>.</p>
<details><summary>Schemas</summary><pre>{schemas}</pre></details>
<script>
document.getElementById("send").addEventListener("click", async () => {{
  const status = document.getElementById("status"), answer = document.getElementById("answer");
  status.textContent = "…";
  try {{
    const response = await fetch("recommend", {{
      method: "POST", headers: {{"content-type": "application/json"}},
      body: document.getElementById("body").value,
    }});
    status.textContent = response.status;
    answer.textContent = JSON.stringify(await response.json(), null, 2);
  }} catch (error) {{
    status.textContent = "no answer";
    answer.textContent = String(error);
  }}
}});
</script>
</html>
"""


def example(family: Family | None) -> dict[str, Any]:
    """Build an example request; with a family, one that it can answer."""
    if family is None:
        return {"user": {"age": 28}, "history": ["ID", {"item": "ID", "time": 1767225600}], "k": 10}
    encoder = family.encoder
    user: dict[str, Any] = {}
    for name, attribute in encoder.attributes.items():
        if attribute.values:
            user[name] = attribute.values[0]
        elif attribute.edges:
            user[name] = attribute.edges[0]
    first, *others = encoder.items[:2]
    strongest = {"item": first, "behaviour": encoder.behaviours[-1], "time": "2026-01-01T12:00:00Z"}
    return {"user": user, "history": [strongest, *others], "k": min(10, len(encoder.items))}


def docs_page(document: dict[str, Any]) -> str:
    """Render the page of an OpenAPI document."""
    schemas = document["components"]["schemas"]
    recommend = document["paths"]["/recommend"]["post"]
    body = recommend["requestBody"]["content"]["application/json"]
    wrong = [(s, r["description"]) for s, r in recommend["responses"].items() if s != "200"]
    return _PAGE.format(
        description=html.escape(document["info"]["description"]),
        example=html.escape(_pretty(body["example"])),
        tables="".join(_table(name, schema) for name, schema in schemas.items()),
        errors="".join(f"<tr><td>{s}<td>{html.escape(text)}</tr>" for s, text in wrong),
        schemas=html.escape(_pretty(schemas)),
    )


def _table(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{html.escape(key)}</code><td>{html.escape(_kind(value))}"
        f"<td>{html.escape(_default(key, value, required))}"
        f"<td>{html.escape(value.get('description', ''))}</tr>"
        for key, value in schema["properties"].items()
    )
    about = html.escape(schema.get("description", ""))
    head = "<tr><th>Key<th>Type<th>Default<th>Meaning</tr>"
    return f"<h2>{html.escape(name)}</h2><p>{about}</p><table>{head}{rows}</table>"


def _kind(schema: dict[str, Any]) -> str:
    """Format a schema briefly, such as `list of string or HistoryEvent`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _default(key: str, schema: dict[str, Any], required: list[str]) -> str:
    if key in required:
        return "required"
    return json.dumps(schema["default"]) if "default" in schema else ""


def _pretty(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
