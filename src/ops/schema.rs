//! `schema`: the JSON Schema of each object that this program prints and of each JSON file that it writes.
//!
//! `schema.json` is the only source of it; `tests/schema.rs` holds what the program prints to it.

use serde_json::Value;
use std::sync::LazyLock;

/// The whole schema, as text.
pub(crate) const TEXT: &str = include_str!("schema.json");

/// The same as a value. It is part of the program, and the tests read it: it parses.
static WHOLE: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(TEXT).unwrap_or_default());

/// The names of the objects.
pub(crate) fn names() -> Vec<&'static str> {
    let references = WHOLE["anyOf"].as_array().into_iter().flatten().filter_map(|one| one["$ref"].as_str());
    references.filter_map(|reference| reference.strip_prefix("#/$defs/")).collect()
}

/// The schema of one object alone, with everything that it refers to in place.
pub(crate) fn of(name: &str) -> Value {
    let mut schema = WHOLE["$defs"][name].clone();
    resolve(&mut schema);
    schema["$schema"] = WHOLE["$schema"].clone();
    schema
}

/// Replaces each reference by what it refers to.
fn resolve(schema: &mut Value) {
    if let Some(Value::String(reference)) = schema.get("$ref") {
        *schema = WHOLE.pointer(reference.trim_start_matches('#')).cloned().unwrap_or_default();
        return resolve(schema);
    }
    match schema {
        Value::Object(keys) => keys.values_mut().for_each(resolve),
        Value::Array(values) => values.iter_mut().for_each(resolve),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
