//! The definitions as the chart ships them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::{CustomResourceExt, ResourceExt};

use crate::{MediaNode, MediaPool, Room};

/// Formats that the API server knows; it warns at every apply of a definition with another one (`uint32`).
const KNOWN_FORMATS: [&str; 7] = [
    "int32",
    "int64",
    "float",
    "double",
    "date-time",
    "ipv4",
    "byte",
];

/// Removing the release must never remove everybody's rooms with it.
const KEEP_ANNOTATION: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// All definitions, in the order in which they are applied.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [MediaPool::crd(), MediaNode::crd(), Room::crd()]
        .into_iter()
        .map(|mut definition| {
            let (key, value) = KEEP_ANNOTATION;
            definition
                .annotations_mut()
                .insert(key.to_owned(), value.to_owned());
            for version in &mut definition.spec.versions {
                if let Some(schema) = version
                    .schema
                    .as_mut()
                    .and_then(|s| s.open_api_v3_schema.as_mut())
                {
                    drop_unknown_formats(schema);
                }
            }
            definition
        })
        .collect()
}

fn drop_unknown_formats(schema: &mut JSONSchemaProps) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    };
    if schema
        .format
        .as_deref()
        .is_some_and(|format| !KNOWN_FORMATS.contains(&format))
    {
        schema.format = None;
    }
    for property in schema.properties.iter_mut().flatten() {
        drop_unknown_formats(property.1);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => drop_unknown_formats(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => {
            items.iter_mut().for_each(drop_unknown_formats);
        }
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        drop_unknown_formats(values);
    }
}
