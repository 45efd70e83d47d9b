//! The definitions hold what the operator, the chart and users rely on.

use plenum_crds::{MediaPool, MediaPoolSpec, NetworkMode, Room, all};
use serde_json::Value;

fn definition(kind: &str) -> Value {
    let found = all()
        .into_iter()
        .find(|d| d.spec.names.kind == kind)
        .unwrap();
    serde_json::to_value(found).unwrap()
}

fn rules(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == "x-kubernetes-validations" {
                    found.extend(
                        value
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|r| r["message"].as_str().unwrap().to_owned()),
                    );
                }
                rules(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|v| rules(v, found)),
        _ => {}
    }
}

/// Each field of a sample must be one of the schema: a typing error would be dropped silently by the API server.
fn assert_known(sample: &Value, schema: &Value, path: &str) {
    if let (Value::Object(fields), Some(Value::Object(known))) = (sample, schema.get("properties"))
    {
        for (name, value) in fields {
            let path = format!("{path}.{name}");
            let schema = known
                .get(name)
                .unwrap_or_else(|| panic!("{path} is not in the schema"));
            if name != "metadata" || path != ".metadata" {
                assert_known(value, schema, &path);
            }
        }
    }
}

fn sample(text: &str, kind: &str) -> Value {
    let sample: Value = serde_norway::from_str(text).unwrap();
    let definition = definition(kind);
    let mut schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    for name in ["apiVersion", "kind", "metadata"] {
        schema["properties"][name] = Value::Object(serde_json::Map::new());
    }
    assert_known(&sample, &schema, "");
    sample
}

#[test]
fn samples_fit_the_types() {
    let pool = sample(
        include_str!("../../../config/samples/mediapool.yaml"),
        "MediaPool",
    );
    let room = sample(include_str!("../../../config/samples/room.yaml"), "Room");
    let pool: MediaPool = serde_json::from_value(pool).unwrap();
    let room: Room = serde_json::from_value(room).unwrap();
    assert_eq!(
        pool.metadata.name.as_deref(),
        Some(room.spec.pool_ref.name.as_str())
    );
    assert_eq!(room.room_name(), "demo");
}

#[test]
fn scale_counts_serving_pods_by_selector() {
    let scale = &definition("MediaPool")["spec"]["versions"][0]["subresources"]["scale"];
    assert_eq!(scale["labelSelectorPath"], ".status.selector");
    assert_eq!(scale["statusReplicasPath"], ".status.replicas");
}

#[test]
fn the_api_server_holds_what_must_not_change() {
    for (kind, fragment) in [
        ("Room", "status.epoch only grows"),
        ("Room", "poolRef can't change"),
        ("Room", "roomName can't change"),
        ("Room", "at most 256 bytes"),
        ("MediaNode", "a drain can't be taken back"),
        ("MediaNode", "ports can't change"),
        ("MediaPool", "min is greater than max"),
    ] {
        let mut found = Vec::new();
        rules(&definition(kind), &mut found);
        assert!(
            found.iter().any(|m| m.contains(fragment)),
            "{kind} has no rule '{fragment}': {found:?}"
        );
    }
}

#[test]
fn rooms_are_found_by_pool_and_by_node() {
    let version = &definition("Room")["spec"]["versions"][0];
    let fields: Vec<_> = version["selectableFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["jsonPath"].clone())
        .collect();
    assert_eq!(fields, [".spec.poolRef.name", ".status.assignment.node"]);
}

#[test]
fn a_minimal_pool_has_one_member_on_host_ports() {
    let spec: MediaPoolSpec = serde_json::from_value(serde_json::json!({
        "image": "sfu",
        "secretRefs": {"apiKeys": {"name": "a"}, "clusterSecret": {"name": "c"}},
    }))
    .unwrap();
    assert_eq!(spec.replicas, 1);
    assert_eq!(spec.network.mode, NetworkMode::HostPort);
    assert_eq!(spec.operator_class, "plenum");
}

#[test]
fn no_format_makes_the_api_server_warn() {
    fn formats(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(format)) = fields.get("format") {
                    found.push(format.clone());
                }
                fields.values().for_each(|v| formats(v, found));
            }
            Value::Array(items) => items.iter().for_each(|v| formats(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for kind in ["MediaPool", "MediaNode", "Room"] {
        formats(&definition(kind), &mut found);
    }
    assert!(
        found
            .iter()
            .all(|f| ["int32", "int64", "date-time"].contains(&f.as_str())),
        "{found:?}"
    );
}
