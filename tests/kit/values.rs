//! Values as Messages may have them, for what has to hold of all of them. Included in the crates that test that.

use proptest::collection::vec;
use proptest::prelude::*;
use rmpv::Value;

/// A value with none inside: any that MessagePack knows.
pub fn leaf() -> BoxedStrategy<Value> {
    let short = vec(any::<char>(), 0..20).prop_map(String::from_iter);
    let bytes = || prop_oneof![9 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 0..300)];
    prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![9 => short, 1 => "[a-z]{0,300}"].prop_map(Value::from),
        bytes().prop_map(Value::from),
        (any::<i8>(), bytes()).prop_map(|(kind, data)| Value::Ext(kind, data)),
    ]
    .boxed()
}

/// Such a value that JSON and literals can say, as far as they can say anything of its kind.
pub fn sayable_leaf() -> BoxedStrategy<Value> {
    let is_sayable = |value: &Value| !matches!(value, Value::F32(_) | Value::Ext(..));
    leaf().prop_filter("there is no way to say it", is_sayable).boxed()
}

/// A value with such leaves in lists, and in maps that `map` makes of values.
pub fn value(
    leaf: BoxedStrategy<Value>,
    map: impl Fn(BoxedStrategy<Value>) -> BoxedStrategy<Value> + 'static,
) -> BoxedStrategy<Value> {
    let branch = move |inner: BoxedStrategy<Value>| {
        prop_oneof![vec(inner.clone(), 0..8).prop_map(Value::Array), map(inner)]
    };
    leaf.prop_recursive(5, 60, 8, branch).boxed()
}

/// A map with such keys, which may be there twice.
pub fn map(
    keys: impl Strategy<Value = Value> + 'static,
    values: BoxedStrategy<Value>,
) -> BoxedStrategy<Value> {
    vec((keys, values), 0..8).prop_map(Value::Map).boxed()
}
