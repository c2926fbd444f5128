use super::*;
use serde_json::json;

fn check(schema: Value, value: Value) -> Result<(), String> {
    Schema::compile(&schema).unwrap_or_else(|wrong| panic!("{wrong:?}")).check(&value)
}

#[test]
fn each_keyword_tells_good_from_bad() {
    let cases: &[(Value, &[Value], &[Value])] = &[
        (json!(true), &[json!(1)], &[]),
        (json!(false), &[], &[json!(1)]),
        (
            json!({"type": "integer"}),
            &[json!(1), json!(1.0), json!(-3)],
            &[json!(1.5), json!("1"), json!(null)],
        ),
        (json!({"type": ["string", "null"]}), &[json!("a"), json!(null)], &[json!(1), json!([])]),
        (json!({"enum": [1, "a", null]}), &[json!(1.0), json!("a"), json!(null)], &[json!(2), json!("b")]),
        (json!({"const": {"a": [1]}}), &[json!({"a": [1.0]})], &[json!({"a": [1], "b": 1})]),
        (json!({"minimum": 1, "maximum": 3}), &[json!(1), json!(3), json!("x")], &[json!(0), json!(3.1)]),
        (json!({"exclusiveMinimum": 1, "exclusiveMaximum": 3}), &[json!(2)], &[json!(1), json!(3)]),
        (json!({"multipleOf": 0.1}), &[json!(0.3), json!(2)], &[json!(0.35)]),
        (json!({"minLength": 2, "maxLength": 3}), &[json!("äö"), json!("abc")], &[json!("a"), json!("abcd")]),
        (json!({"pattern": "^cus_[a-z]+$"}), &[json!("cus_x"), json!(3)], &[json!("cus_1"), json!("xcus_x")]),
        (json!({"items": {"type": "number"}}), &[json!([1, 2]), json!([])], &[json!([1, "2"])]),
        (
            json!({"prefixItems": [{"type": "number"}], "items": false}),
            &[json!([1]), json!([])],
            &[json!([1, 2]), json!(["1"])],
        ),
        (json!({"minItems": 1, "maxItems": 2}), &[json!([1])], &[json!([]), json!([1, 2, 3])]),
        (
            json!({"uniqueItems": true}),
            &[json!([1, "1", [1]])],
            &[json!([1, 2, 1.0]), json!([{"a": 1, "b": 2}, {"b": 2, "a": 1}])],
        ),
        (json!({"contains": {"const": 1}}), &[json!([2, 1])], &[json!([2]), json!([])]),
        (
            json!({"contains": {"const": 1}, "minContains": 2, "maxContains": 2}),
            &[json!([1, 1])],
            &[json!([1]), json!([1, 1, 1])],
        ),
        (
            json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            &[json!({"a": "x"}), json!({}), json!([])],
            &[json!({"a": 1}), json!({"b": 1})],
        ),
        (
            json!({"patternProperties": {"^x": {"type": "number"}}, "additionalProperties": {"type": "string"}}),
            &[json!({"x1": 1, "y": "a"})],
            &[json!({"x1": "a"}), json!({"y": 1})],
        ),
        (json!({"propertyNames": {"pattern": "^[a-z]+$"}}), &[json!({"a": 1})], &[json!({"A": 1})]),
        (
            json!({"minProperties": 1, "maxProperties": 1}),
            &[json!({"a": 1})],
            &[json!({}), json!({"a": 1, "b": 1})],
        ),
        (json!({"required": ["a", "b"]}), &[json!({"a": null, "b": 1})], &[json!({"a": 1})]),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            &[json!({"b": 1}), json!({"a": 1, "b": 1})],
            &[json!({"a": 1})],
        ),
        (
            json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
            &[json!({}), json!({"a": 1, "b": 1})],
            &[json!({"a": 1})],
        ),
        (json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), &[json!(1)], &[json!(0), json!(3)]),
        (json!({"anyOf": [{"minimum": 5}, {"maximum": 2}]}), &[json!(1), json!(6)], &[json!(3)]),
        (json!({"oneOf": [{"minimum": 2}, {"maximum": 5}]}), &[json!(1), json!(6)], &[json!(3)]),
        (json!({"not": {"type": "null"}}), &[json!(1)], &[json!(null)]),
        (
            json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}),
            &[json!({"a": 1, "b": 1}), json!({"c": 1})],
            &[json!({"a": 1, "c": 1}), json!({"b": 1})],
        ),
        (
            json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"properties": {"v": {"type": "number"}, "kids": {"items": {"$ref": "#/$defs/tree"}}}}}}),
            &[json!({"v": 1, "kids": [{"v": 2}]})],
            &[json!({"kids": [{"kids": [{"v": "x"}]}]})],
        ),
        (json!({"format": "email", "title": "t", "x-own": 1}), &[json!("no mail")], &[]),
    ];
    for (schema, good, bad) in cases {
        for value in *good {
            assert_eq!(check(schema.clone(), value.clone()), Ok(()), "{schema} {value}");
        }
        for value in *bad {
            assert!(check(schema.clone(), value.clone()).is_err(), "{schema} {value}");
        }
    }
}

#[test]
fn messages_say_where_and_what() {
    let schema = json!({"required": ["id"], "properties": {"items": {"items": {"properties": {"n": {"type": "number"}}}}}});
    assert_eq!(
        check(schema, json!({"items": [{"n": 1}, {"n": "2"}]})),
        Err("the value lacks `id`; `/items/1/n` is \"2\", not number".to_owned())
    );
    let many: Vec<Value> = (0..10).map(|n| json!(n.to_string())).collect();
    let message = check(json!({"items": {"type": "number"}}), Value::Array(many)).unwrap_err();
    assert!(message.ends_with("; and 7 more"), "{message}");
}

#[test]
fn wrong_schemas_are_refused_whole() {
    let wrong = |schema: Value| {
        let mut wrong: Vec<String> = Schema::compile(&schema)
            .unwrap_err()
            .into_iter()
            .map(|wrong| format!("{} {}", wrong.path, wrong.message))
            .collect();
        wrong.sort();
        wrong
    };
    assert_eq!(
        wrong(
            json!({"typ": "string", "properties": {"a": {"type": "strin"}, "b": 3}, "unevaluatedItems": false})
        ),
        [
            "/properties/a/type \"strin\" is not a type of JSON Schema",
            "/properties/b a schema is a mapping, true or false",
            "/typ `typ` is not a keyword of JSON Schema",
            "/unevaluatedItems `unevaluatedItems` of JSON Schema is not supported",
        ]
    );
    assert_eq!(wrong(json!({"$ref": "https://x.test/s.json"})).len(), 1);
    assert_eq!(wrong(json!({"$ref": "#/$defs/none"})).len(), 1);
    assert_eq!(wrong(json!({"pattern": "("})).len(), 1);
}

/// A schema that refers to itself, or asks for much work, ends.
#[test]
fn work_is_bounded() {
    assert!(check(json!({"$ref": "#"}), json!(1)).is_err());
    let all: Vec<Value> = (0..5_000).map(|n| json!(n)).collect();
    assert_eq!(
        check(json!({"uniqueItems": true}), Value::Array(all)),
        Err("it takes too many steps to check".to_owned())
    );
    let long = "a".repeat(1 << 20);
    let matched = check(json!({"pattern": "(a?){200}b"}), json!(long));
    assert_eq!(matched, Err("it takes too many steps to check".to_owned()));
    assert_eq!(check(json!({"pattern": "^[a-z]+$"}), json!("a".repeat(100_000))), Ok(()));
}

/// Classes are JavaScript's, of ASCII.
#[test]
fn patterns_are_of_ascii() {
    for (pattern, yes, no) in
        [("^\\d+$", "12", "١٢"), ("^[\\w-]+$", "a_-1", "é"), ("\\bx", "éx", "ax"), ("^\\D$", "١", "1")]
    {
        assert_eq!(check(json!({"pattern": pattern}), json!(yes)), Ok(()), "{pattern}");
        assert!(check(json!({"pattern": pattern}), json!(no)).is_err(), "{pattern}");
    }
}
