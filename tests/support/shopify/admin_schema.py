"""Writes `simulator/admin/schema.graphql`: the part of Shopify's published schema that we use, from
the introspection in an npm package (ISC).

    npm pack @shopify/dev-mcp@1.16.0 && tar xzf shopify-dev-mcp-1.16.0.tgz
    python -m tests.support.shopify.admin_schema package/dist/data/admin_2026-10.json.gz
"""

import gzip
import json
import sys
from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_client_schema,
    get_named_type,
    print_schema,
)

TARGET = Path(__file__).parents[3] / "simulator" / "admin" / "schema.graphql"
CONNECTED = (
    *("AbandonedCheckout", "AbandonedCheckoutLineItem", "BulkOperation", "LineItem", "Order"),
    *("OrderAdjustment", "OrderTransaction", "Refund", "RefundLineItem", "RefundShippingLine"),
    *("ShippingLine", "WebhookSubscription"),
)
TYPES = frozenset(
    [
        *CONNECTED,
        *(f"{name}Connection" for name in CONNECTED),
        *(f"{name}Edge" for name in CONNECTED),
        *("AccessScope", "ApiVersion", "App", "AppInstallation", "Attribute", "Count"),
        *("BulkOperationCancelPayload", "BulkOperationRunQueryPayload", "BulkOperationUserError"),
        *("Customer", "CustomerEmailAddress", "CustomerJourneySummary", "CustomerPhoneNumber"),
        *("CustomerVisit", "MailingAddress", "MoneyBag", "MoneyV2", "Node", "PageInfo"),
        *("Product", "ProductVariant", "Shop", "ShopPlan", "TaxLine", "UTMParameters", "UserError"),
        *("WebhookSubscriptionCreatePayload", "WebhookSubscriptionDeletePayload"),
        *("WebhookSubscriptionUpdatePayload", "WebhookSubscriptionMetafieldIdentifier"),
    ]
)
ROOTS = {
    "QueryRoot": frozenset(
        [
            *("abandonedCheckouts", "abandonedCheckoutsCount", "bulkOperation", "bulkOperations"),
            *("currentAppInstallation", "customer", "node", "order", "orders", "ordersCount"),
            *("refund", "shop", "webhookSubscription", "webhookSubscriptions"),
            "webhookSubscriptionsCount",
        ]
    ),
    "Mutation": frozenset(
        [
            *("bulkOperationCancel", "bulkOperationRunQuery", "webhookSubscriptionCreate"),
            *("webhookSubscriptionDelete", "webhookSubscriptionUpdate"),
        ]
    ),
}


def reduced(schema: GraphQLSchema) -> GraphQLSchema:
    """`schema` with `TYPES` and the roots' chosen fields."""
    for name, type_ in schema.type_map.items():
        type_.description = None
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            chosen = ROOTS.get(name)
            type_.fields = {
                key: _bare(field)
                for key, field in type_.fields.items()
                if (chosen is None or key in chosen) and _kept(get_named_type(field.type))
            }
            type_.interfaces = tuple(i for i in type_.interfaces if i.name in TYPES)
        elif isinstance(type_, GraphQLInputObjectType):
            for entry in type_.fields.values():
                entry.description = entry.deprecation_reason = None
        elif isinstance(type_, GraphQLEnumType):
            for value in type_.values.values():
                value.description = value.deprecation_reason = None
    query, mutation = schema.type_map["QueryRoot"], schema.type_map["Mutation"]
    assert isinstance(query, GraphQLObjectType)
    assert isinstance(mutation, GraphQLObjectType)
    nodes = [
        each
        for name, each in schema.type_map.items()
        if name in TYPES and isinstance(each, GraphQLObjectType)
    ]
    return GraphQLSchema(query, mutation, types=nodes)


def _kept(type_: GraphQLNamedType) -> bool:
    return type_.name in TYPES or isinstance(type_, GraphQLScalarType | GraphQLEnumType)


def _bare(field: GraphQLField) -> GraphQLField:
    field.description = None
    for argument in field.args.values():
        argument.description = argument.deprecation_reason = None
    return field


def main(introspection: str) -> None:
    """Read the introspection and write the reduced schema."""
    answer = json.loads(gzip.decompress(Path(introspection).read_bytes()))
    schema = reduced(build_client_schema(answer["data"]))
    head = (
        "# The part of Shopify's Admin API schema, version 2026-10, that orderwire touches.\n"
        "# From npm @shopify/dev-mcp 1.16.0 (28 September 2026); made by\n"
        "# `python -m tests.support.shopify.admin_schema`. Not to be edited.\n\n"
    )
    TARGET.write_text(head + print_schema(schema) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
