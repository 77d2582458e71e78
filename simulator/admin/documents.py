"""Reads a GraphQL document as Shopify does: against the schema, with its errors and its cost. A
selection is compiled once per request into a function from plain data to the answer's JSON.
"""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import resources
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    build_schema,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    parse,
    validate,
)
from graphql.execution.values import get_argument_values, get_variable_values

Project = Callable[[Any], Any]
FREE = frozenset({"MoneyBag", "MoneyV2", "PageInfo", "Shop"})
# Fitted to recorded answers (docs/facts/shopify-admin.md): a connection costs
# 2 + max(1, floor(2 ln first)) x (1 + nested), an object or list 1.
COUNT_COST = MUTATION_COST = 10
FIELD_SCOPES = {
    ("Order", "customer"): "read_customers",
    ("AbandonedCheckout", "customer"): "read_customers",
    ("LineItem", "product"): "read_products",
    ("LineItem", "variant"): "read_products",
    ("AbandonedCheckoutLineItem", "product"): "read_products",
    ("AbandonedCheckoutLineItem", "variant"): "read_products",
}
"""Fields that need a scope beside that of their root."""
CODES = {
    "Cannot query field": "undefinedField",
    "Unknown argument": "argumentNotAccepted",
    "is required, but it was not provided": "missingRequiredArguments",
    "cannot represent": "argumentLiteralsIncompatible",
}


@lru_cache(maxsize=1)
def schema() -> GraphQLSchema:
    """The schema that documents are read against."""
    text = resources.files("simulator.admin").joinpath("schema.graphql").read_text()
    return build_schema(text)


class DocumentRefused(Exception):
    """The document is not answered; `errors` are the answer's."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


def error(message: str, code: str, path: Sequence[str] = ()) -> dict[str, Any]:
    """One of an answer's errors."""
    error_json: dict[str, Any] = {"message": message, "extensions": {"code": code}}
    return {**error_json, "path": list(path)} if path else error_json


def denied(scope: str, path: Sequence[str]) -> dict[str, Any]:
    """As Shopify words a missing scope."""
    needed = f"`{scope}` access scope."
    return {
        "message": f"Access denied for {path[-1]} field. Required access: {needed}",
        "path": list(path),
        "extensions": {
            "code": "ACCESS_DENIED",
            "documentation": "https://shopify.dev/api/usage/access-scopes",
            "requiredAccess": needed,
        },
    }


@dataclass(frozen=True, slots=True)
class Page:
    """What a connection shows: `cursor` gives the cursor of a node."""

    nodes: Sequence[Any]
    has_next: bool = False
    has_previous: bool = False
    cursor: Callable[[Any], str] = lambda node: encode(str(node.get("id", "")))


@dataclass(frozen=True, slots=True)
class Root:
    """A field at the top: its arguments, and how its value is shown."""

    key: str
    name: str
    arguments: Mapping[str, Any]
    project: Project


@dataclass(slots=True)
class DocumentRequest:
    """A document that may be answered."""

    name: str
    mutation: bool
    roots: list[Root] = field(default_factory=list)
    cost: int = 0
    denied: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Path -> missing scope, of fields that are null for it."""


def encode(text: str) -> str:
    """A cursor."""
    return base64.b64encode(text.encode()).decode()


def decode(cursor: str) -> str:
    """What `encode` was given. Raises ValueError."""
    return base64.b64decode(cursor.encode(), validate=True).decode()


def read(text: str, variables: Mapping[str, Any], scopes: frozenset[str]) -> DocumentRequest:
    """The document's only operation. Raises Refused."""
    document = _parsed(text)
    operation, fragments = _parts(document)
    root = (
        schema().mutation_type
        if operation.operation is OperationType.MUTATION
        else schema().query_type
    )
    assert root is not None
    values = get_variable_values(schema(), operation.variable_definitions or (), dict(variables))
    if isinstance(values, list):
        raise DocumentRefused([error(one.message, "INVALID_VARIABLE") for one in values])
    mutation = operation.operation is OperationType.MUTATION
    name = operation.name.value if operation.name is not None else ""
    request = DocumentRequest(name, mutation, cost=MUTATION_COST * mutation)
    compiler = Compiler(fragments, values, scopes, request)
    for node in compiler.fields(operation.selection_set, root):
        key = node.alias.value if node.alias else node.name.value
        definition = root.fields[node.name.value]
        project, cost = compiler.field(definition, node, (key,))
        request.cost += cost
        arguments = get_argument_values(definition, node, values)
        request.roots.append(Root(key, node.name.value, arguments, project))
    return request


@lru_cache(maxsize=64)
def _parsed(text: str) -> DocumentNode:
    try:
        document = parse(text)
    except GraphQLSyntaxError as bad:
        raise DocumentRefused([error(bad.message, "BAD_REQUEST")]) from None
    if bad_ones := validate(schema(), document):
        raise DocumentRefused([_error_of(one) for one in bad_ones])
    return document


def _error_of(bad: GraphQLError) -> dict[str, Any]:
    code = next((code for words, code in CODES.items() if words in bad.message), "BAD_REQUEST")
    return error(bad.message, code)


def _parts(
    document: DocumentNode,
) -> tuple[OperationDefinitionNode, dict[str, FragmentDefinitionNode]]:
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) != 1:
        raise DocumentRefused([error("An operation name is required", "BAD_REQUEST")])
    fragments = [d for d in document.definitions if isinstance(d, FragmentDefinitionNode)]
    return operations[0], {one.name.value: one for one in fragments}


class Compiler:
    """Selections to functions, for one request; `variables` as graphql-core coerced them."""

    def __init__(
        self,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Any,
        scopes: frozenset[str],
        request: DocumentRequest,
    ) -> None:
        self._fragments, self._variables = fragments, variables
        self._scopes, self._request = scopes, request

    def fields(self, selection: SelectionSetNode, type_: GraphQLObjectType) -> list[FieldNode]:
        """The fields of a selection, those of its fragments for this type included."""
        found: list[FieldNode] = []
        for node in selection.selections:
            if isinstance(node, FieldNode):
                found.append(node)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                if condition is None or condition.name.value in _names(type_):
                    found += self.fields(node.selection_set, type_)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                if fragment.type_condition.name.value in _names(type_):
                    found += self.fields(fragment.selection_set, type_)
        return found

    def field(
        self, definition: GraphQLField, node: FieldNode, path: tuple[str, ...]
    ) -> tuple[Project, int]:
        """How the value of a field is shown, and what that costs."""
        named = get_named_type(definition.type)
        if is_leaf_type(named) or node.selection_set is None:
            return _same, 0
        if not isinstance(named, GraphQLObjectType):  # the interface Node
            return self._any_node(node.selection_set, path), 1
        if named.name.endswith("Connection"):
            return self._connection(definition, named, node, path)
        shown, nested = self.object(named, node.selection_set, path)
        own = COUNT_COST if named.name == "Count" else int(named.name not in FREE)
        if named.name in FREE:
            nested = 0 if named.name.startswith("Money") else nested
        if _is_list(definition):
            first = get_argument_values(definition, node, self._variables).get("first")
            return (lambda value: [shown(one) for one in (value or ())[:first]]), own + nested
        return (lambda value: None if value is None else shown(value)), own + nested

    def object(
        self, type_: GraphQLObjectType, selection: SelectionSetNode, path: tuple[str, ...]
    ) -> tuple[Project, int]:
        """How an object is shown, and what its parts cost."""
        parts: list[tuple[str, str, Project]] = []
        cost = 0
        for node in self.fields(selection, type_):
            name = node.name.value
            key = node.alias.value if node.alias else name
            if name == "__typename":
                parts.append((key, name, partial(_always, type_.name)))
                continue
            scope = FIELD_SCOPES.get((type_.name, name))
            if scope is not None and scope not in self._scopes:
                self._request.denied[(*path, key)] = scope
                parts.append((key, name, _nothing))
                continue
            project, own = self.field(type_.fields[name], node, (*path, key))
            parts.append((key, name, project))
            # A connection's nodes are counted by the connection.
            cost += max(0, own - 1) if type_.name.endswith(("Connection", "Edge")) else own

        def shown(value: Mapping[str, Any]) -> dict[str, Any]:
            return {key: project(value.get(name)) for key, name, project in parts}

        return shown, cost

    def _any_node(self, selection: SelectionSetNode, path: tuple[str, ...]) -> Project:
        def shown(value: Mapping[str, Any] | None) -> Any:
            if value is None:
                return None
            type_ = schema().type_map[str(value["id"]).split("/")[3]]
            assert isinstance(type_, GraphQLObjectType)
            return self.object(type_, selection, path)[0](value)

        return shown

    def _connection(
        self,
        definition: GraphQLField,
        type_: GraphQLObjectType,
        node: FieldNode,
        path: tuple[str, ...],
    ) -> tuple[Project, int]:
        arguments = get_argument_values(definition, node, self._variables)
        first, after = arguments.get("first"), arguments.get("after")
        if first is None and arguments.get("last") is None:
            raise DocumentRefused(
                [error("you must provide one of first or last", "BAD_REQUEST", path)]
            )
        if first is not None and not 0 <= first <= 250:
            raise DocumentRefused(
                [error(f"first cannot exceed 250, is {first}", "BAD_REQUEST", path)]
            )
        assert node.selection_set is not None
        shown, nested = self.object(type_, node.selection_set, path)
        many = max(1, math.floor(2 * math.log(first or 1))) if first else 1

        def connection(value: Any) -> Any:
            page = value if isinstance(value, Page) else _page(value or (), first, after)
            return shown(_PageView(page))

        return connection, 2 + many * (1 + nested)


class _PageView(dict[str, Any]):
    """A page as the fields of a connection see it."""

    def __init__(self, page: Page) -> None:
        cursors = [page.cursor(one) for one in page.nodes[:1]] + [
            page.cursor(one) for one in page.nodes[-1:]
        ]
        super().__init__(
            nodes=page.nodes,
            edges=[{"node": one, "cursor": page.cursor(one)} for one in page.nodes],
            pageInfo={
                "hasNextPage": page.has_next,
                "hasPreviousPage": page.has_previous,
                "startCursor": cursors[0] if cursors else None,
                "endCursor": cursors[-1] if cursors else None,
            },
        )


def _page(items: Sequence[Any], first: int | None, after: str | None) -> Page:
    start = 0
    if after:
        wanted = decode(after)
        start = 1 + next(i for i, one in enumerate(items) if str(one.get("id")) == wanted)
    end = len(items) if first is None else start + first
    return Page(items[start:end], has_next=end < len(items), has_previous=start > 0)


def _same(value: Any) -> Any:
    return value


def _always(error_json: str, _: Any) -> str:
    return error_json


def _nothing(_: Any) -> None:
    return None


def _names(type_: GraphQLObjectType) -> set[str]:
    return {type_.name, *(one.name for one in type_.interfaces)}


def _is_list(definition: GraphQLField) -> bool:
    type_ = definition.type
    return is_list_type(type_.of_type if is_non_null_type(type_) else type_)
