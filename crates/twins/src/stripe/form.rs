//! Form-encoded parameters with nested brackets, taken one by one so that what is left over is unknown.

use serde_json::{Map, Value};

use super::errors::Error;
use super::model::Metadata;

/// Deeper nesting than any operation of Stripe has.
const DEPTH_MAX: usize = 8;

/// The parameters of a request, or of a nested hash in it.
#[derive(Debug, Default)]
pub(super) struct Params {
    prefix: String,
    map: Map<String, Value>,
}

/// What a request changes in an object's metadata.
#[derive(Debug, Default)]
pub(super) struct MetadataChange {
    clear: bool,
    entries: Vec<(String, Option<String>)>,
}

impl MetadataChange {
    pub(super) fn apply(self, metadata: &mut Metadata) {
        if self.clear {
            metadata.clear();
        }
        for (key, value) in self.entries {
            match value {
                Some(value) => metadata.insert(key, value),
                None => metadata.remove(&key),
            };
        }
    }
}

/// Reads `a=1&b[c]=2&d[]=3&e[0][f]=4` into a tree of objects with string leaves.
pub(super) fn parse(encoded: &[&[u8]]) -> Result<Params, Error> {
    let mut map = Map::new();
    for part in encoded {
        for (key, value) in form_urlencoded::parse(part) {
            insert(&mut map, &key, &value)?;
        }
    }
    Ok(Params { prefix: String::new(), map })
}

fn insert(root: &mut Map<String, Value>, key: &str, value: &str) -> Result<(), Error> {
    let wrong = || Error::invalid(format!("Invalid parameter name: {key}"));
    let (head, rest) = key.split_once('[').map_or((key, ""), |(head, rest)| (head, rest));
    let mut names = vec![head];
    if !rest.is_empty() {
        names.extend(rest.strip_suffix(']').ok_or_else(wrong)?.split("]["));
    }
    if names.len() > DEPTH_MAX || head.is_empty() {
        return Err(wrong());
    }
    let mut map = root;
    for (depth, name) in names.iter().enumerate() {
        let name = if name.is_empty() { map.len().to_string() } else { (*name).to_owned() };
        if depth + 1 == names.len() {
            map.insert(name, Value::String(value.to_owned()));
            return Ok(());
        }
        let entry = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
        if !entry.is_object() {
            // `discounts=` (clears) followed by `discounts[0]…`: the later, more precise one wins.
            *entry = Value::Object(Map::new());
        }
        map = entry.as_object_mut().ok_or_else(wrong)?;
    }
    Ok(())
}

impl Params {
    fn name(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}[{key}]", self.prefix) }
    }

    /// The order-independent text that idempotency compares.
    pub(super) fn fingerprint(&self) -> String {
        fn write(value: &Value, into: &mut String) {
            match value {
                Value::Object(map) => {
                    let mut keys: Vec<&String> = map.keys().collect();
                    keys.sort();
                    into.push('{');
                    for key in keys {
                        into.push_str(key);
                        into.push('=');
                        write(&map[key], into);
                        into.push('&');
                    }
                    into.push('}');
                }
                other => into.push_str(&other.to_string()),
            }
        }
        let mut text = String::new();
        write(&Value::Object(self.map.clone()), &mut text);
        text
    }

    /// A string; an empty one counts.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        match self.map.shift_remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => {
                Err(Error::invalid("Invalid string: expected a string, got a hash").at(&self.name(key)))
            }
        }
    }

    /// A string where a hash may stand as well; the hash stays.
    pub(super) fn scalar(&mut self, key: &str) -> Result<Option<String>, Error> {
        if self.map.get(key).is_some_and(Value::is_string) { self.string(key) } else { Ok(None) }
    }

    /// A string; an empty one is absent.
    pub(super) fn string(&mut self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.text(key)?.filter(|text| !text.is_empty()))
    }

    /// A string that may be cleared: `Some(None)` for the empty one.
    pub(super) fn clearable(&mut self, key: &str) -> Result<Option<Option<String>>, Error> {
        Ok(self.text(key)?.map(|text| if text.is_empty() { None } else { Some(text) }))
    }

    pub(super) fn need(&mut self, key: &str) -> Result<String, Error> {
        self.string(key)?.ok_or_else(|| Error::required(&self.name(key)))
    }

    pub(super) fn int(&mut self, key: &str) -> Result<Option<i64>, Error> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error::integer(&self.name(key), &text))
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, Error> {
        match self.string(key)?.as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(Error::invalid(format!("Invalid boolean: {other}")).at(&self.name(key))),
        }
    }

    /// A word of a vocabulary.
    pub(super) fn word<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Option<T>,
        choices: &str,
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| Error::choice(&self.name(key), &text, choices))
    }

    /// A nested hash; an empty string is an empty hash.
    pub(super) fn map(&mut self, key: &str) -> Result<Option<Params>, Error> {
        let prefix = self.name(key);
        match self.map.shift_remove(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Params { prefix, map })),
            Some(Value::String(text)) if text.is_empty() => Ok(Some(Params { prefix, map: Map::new() })),
            Some(_) => Err(Error::invalid("Invalid hash").at(&prefix)),
        }
    }

    /// A list of hashes.
    pub(super) fn maps(&mut self, key: &str) -> Result<Option<Vec<Params>>, Error> {
        let Some(mut list) = self.map(key)? else { return Ok(None) };
        let keys: Vec<String> = list.map.keys().cloned().collect();
        let mut maps = Vec::with_capacity(keys.len());
        for key in keys {
            maps.extend(list.map(&key)?);
        }
        Ok(Some(maps))
    }

    /// A list of strings.
    pub(super) fn strings(&mut self, key: &str) -> Result<Option<Vec<String>>, Error> {
        let Some(mut list) = self.map(key)? else { return Ok(None) };
        let keys: Vec<String> = list.map.keys().cloned().collect();
        let mut strings = Vec::with_capacity(keys.len());
        for key in keys {
            strings.extend(list.text(&key)?);
        }
        Ok(Some(strings))
    }

    /// The change that `metadata` asks for: a key set to the empty string is removed, `metadata=` removes all.
    pub(super) fn metadata_change(&mut self) -> Result<MetadataChange, Error> {
        let Some(mut given) = self.map("metadata")? else { return Ok(MetadataChange::default()) };
        let mut change = MetadataChange { clear: given.map.is_empty(), entries: Vec::new() };
        let keys: Vec<String> = given.map.keys().cloned().collect();
        for key in keys {
            let value = given.string(&key)?;
            change.entries.push((key, value));
        }
        Ok(change)
    }

    /// The metadata of an object that is being created.
    pub(super) fn metadata(&mut self) -> Result<Metadata, Error> {
        let mut metadata = Metadata::new();
        self.metadata_change()?.apply(&mut metadata);
        Ok(metadata)
    }

    /// A hash taken as it is (an address), with empty strings as null.
    pub(super) fn raw(&mut self, key: &str) -> Option<Value> {
        fn tidy(value: Value) -> Value {
            match value {
                Value::String(text) if text.is_empty() => Value::Null,
                Value::Object(map) => map.into_iter().map(|(key, value)| (key, tidy(value))).collect(),
                other => other,
            }
        }
        self.map.shift_remove(key).map(tidy)
    }

    /// Parameters that change nothing a client of this twin can see.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.map.shift_remove(*key);
        }
    }

    /// Parameters that would change billing in ways this twin does not simulate.
    pub(super) fn refuse(&mut self, keys: &[&str]) -> Result<(), Error> {
        for key in keys {
            if self.map.get(*key).is_some_and(|value| value != "") {
                return Err(Error::not_simulated(&self.name(key)));
            }
            self.map.shift_remove(*key);
        }
        Ok(())
    }

    /// Anything left is unknown.
    pub(super) fn done(&self) -> Result<(), Error> {
        if self.map.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.map.keys().map(|key| self.name(key)).collect();
        Err(Error::unknown_params(&names))
    }
}
