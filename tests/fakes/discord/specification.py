"""Requests checked against Discord's own description of its API, where that lies beside the project.

Beyond the document: an unknown property or query parameter is a violation, and ids may be integers, which
Discord takes and discord.py sends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DOCUMENT = Path(__file__).parents[3].parent / "shared" / "specs" / "discord-openapi.json"
_URI = "urn:discord"

Schema = Mapping[str, Any]

SENT_BY_THE_LIBRARY = frozenset({"tts"})
"""discord.py writes it into every request with a message, and Discord ignores it where it has no meaning."""


class Specification:
    """Discord's API description."""

    def __init__(self, document: dict[str, Any]) -> None:
        document["components"]["schemas"]["SnowflakeType"]["type"] = ["string", "integer"]
        self._document = document
        self._registry: Registry[Any] = Registry().with_resource(_URI, DRAFT202012.create_resource(document))
        self._validator = cache(self._make_validator)

    def violations(self, method: str, route: str, query: Mapping[str, str], body: object) -> Iterator[str]:
        """What is wrong with a request; `body` is None where there is none."""
        path = self._document["paths"].get(route, {})
        operation = path.get(method.lower())
        if operation is None:
            yield "Discord has no such route"
            return
        parameters = [*path.get("parameters", ()), *operation.get("parameters", ())]
        known = {self._resolved(parameter)["name"] for parameter in parameters}
        yield from (f"unknown query parameter {name!r}" for name in query if name not in known)
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            if body is not None:
                yield "a body where none belongs"
            return
        schema = content["application/json"]["schema"]
        for error in self._validator(method, route).iter_errors(body):
            yield f"{error.json_path}: {error.message[:300]}"
        yield from self._unknown(schema, body, "$")

    def _make_validator(self, method: str, route: str) -> Draft202012Validator:
        steps = ["paths", route, method.lower(), "requestBody", "content", "application/json", "schema"]
        pointer = "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)
        pointer = pointer.replace("{", "%7B").replace("}", "%7D")
        return Draft202012Validator({"$ref": f"{_URI}#/{pointer}"}, registry=self._registry)

    def _unknown(self, schema: Schema, value: object, path: str) -> Iterator[str]:
        """Properties that no alternative of a schema mentions."""
        alternatives = list(self._alternatives(schema))
        if isinstance(value, dict):
            free = any(alternative.get("additionalProperties") for alternative in alternatives)
            for name, inner in value.items():
                found = [a["properties"][name] for a in alternatives if name in a.get("properties", {})]
                if not found and not free and name not in SENT_BY_THE_LIBRARY:
                    yield f"{path}: unknown property {name!r}"
                if found:
                    yield from self._unknown({"anyOf": found}, inner, f"{path}.{name}")
        if isinstance(value, list):
            items = [alternative["items"] for alternative in alternatives if "items" in alternative]
            for index, inner in enumerate(value):
                yield from self._unknown({"anyOf": items}, inner, f"{path}[{index}]")

    def _alternatives(self, schema: Schema) -> Iterator[Schema]:
        schema = self._resolved(schema)
        yield schema
        for combination in ("anyOf", "oneOf", "allOf"):
            for inner in schema.get(combination, ()):
                yield from self._alternatives(inner)

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            target: Any = self._document
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            schema = target
        return schema


@cache
def specification() -> Specification | None:
    """Discord's description; None where it is absent, and requests then go unchecked by it."""
    return Specification(json.loads(DOCUMENT.read_text())) if DOCUMENT.is_file() else None
