//! Functions of values: each takes its input and arguments and gives one value.

use base64::Engine;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

use super::builtins::Builtin;
use super::eval::{One, Run, Stop};
use super::meter::{MAX_MATCHED, Meter};
use super::operator::{self, field, finite, index, to_json, to_text};
use super::value::{Fields, Kind, Text, Val, copied, float, from_text, integer};
use crate::pattern::{Dialect, Pattern};

pub fn wrong<'v>(of: &str, needs: &str, value: &Val<'v>) -> Stop<'v> {
    Stop::error(format!("`{of}` needs {needs}, not {}", value.preview()))
}

/// The text of a value, or an error that names the function.
pub fn text_of<'a, 'v>(of: &str, value: &'a Val<'v>) -> Result<&'a str, Stop<'v>> {
    value.as_str().ok_or_else(|| wrong(of, "a string", value))
}

fn number_of<'v>(of: &str, value: &Val<'v>) -> Result<f64, Stop<'v>> {
    match value {
        Val::Number(number) => Ok(float(number)),
        _ => Err(wrong(of, "a number", value)),
    }
}

fn size<'v>(size: usize) -> Val<'v> {
    Val::from(i64::try_from(size).unwrap_or(i64::MAX))
}

impl<'v> Run<'_, 'v> {
    /// Calls a function of values.
    pub fn plain(
        &self,
        builtin: Builtin,
        input: &Val<'v>,
        args: &[Val<'v>],
        regex: Option<&Arc<Pattern>>,
    ) -> One<'v> {
        self.meter.step(1)?;
        let name = builtin.name();
        match builtin {
            Builtin::Not => Ok(Val::Bool(!input.is_true())),
            Builtin::Type => Ok(Val::Text(Text::Borrowed(input.kind().name()))),
            Builtin::Error => Err(Stop::Error(args.first().unwrap_or(input).clone())),
            Builtin::Length | Builtin::Utf8ByteLength => self.length(builtin, input),
            Builtin::ToJson => Ok(Val::text(&to_json(input, self.meter)?, self.meter)?),
            Builtin::ToString => match input {
                Val::Text(_) => Ok(input.clone()),
                other => Ok(Val::text(&to_text(other, self.meter)?, self.meter)?),
            },
            Builtin::FromJson => operator::from_json(text_of(name, input)?, self.meter),
            Builtin::ToNumber => to_number(input),
            Builtin::ToBoolean => match input {
                Val::Bool(_) => Ok(input.clone()),
                Val::Text(text) if text.as_str() == "true" => Ok(Val::Bool(true)),
                Val::Text(text) if text.as_str() == "false" => Ok(Val::Bool(false)),
                other => Err(wrong(name, "a boolean or its text", other)),
            },
            Builtin::Abs => match input {
                Val::Number(number) if integer(number).is_some_and(|int| int >= 0) => Ok(input.clone()),
                Val::Number(number) if integer(number).is_some() => operator::negate(input),
                other => finite(number_of(name, other)?.abs()),
            },
            Builtin::Floor => self.rounded(name, input, f64::floor),
            Builtin::Ceil => self.rounded(name, input, f64::ceil),
            Builtin::Round => self.rounded(name, input, f64::round),
            Builtin::Sqrt => finite(number_of(name, input)?.sqrt()),
            Builtin::ToDate | Builtin::FromDate | Builtin::Strftime => date(builtin, input, args),
            Builtin::GetPath => self.get_path(input, &args[0]),
            Builtin::Has => has(input, &args[0]),
            Builtin::In => has(&args[0], input),
            Builtin::Contains => Ok(Val::Bool(contains(input, &args[0], self.meter)?)),
            Builtin::Inside => Ok(Val::Bool(contains(&args[0], input, self.meter)?)),
            Builtin::Keys
            | Builtin::KeysUnsorted
            | Builtin::ToEntries
            | Builtin::FromEntries
            | Builtin::ToArray => self.fields_function(builtin, input),
            _ if input.as_str().is_some() || builtin.is_of_text() => {
                self.text_function(builtin, input, args, regex)
            }
            _ => self.list_function(builtin, input, args),
        }
    }

    fn length(&self, builtin: Builtin, input: &Val<'v>) -> One<'v> {
        match input {
            Val::Null => Ok(size(0)),
            Val::Text(text) if builtin == Builtin::Utf8ByteLength => Ok(size(text.as_str().len())),
            Val::Text(text) => {
                self.meter.step(text.as_str().len() / 16)?;
                Ok(size(text.as_str().chars().count()))
            }
            Val::Number(_) if builtin == Builtin::Length => self.plain(Builtin::Abs, input, &[], None),
            other => match other.len() {
                Some(len) if builtin == Builtin::Length => Ok(size(len)),
                _ => Err(Stop::error(format!("{} has no length", other.preview()))),
            },
        }
    }

    fn rounded(&self, name: &str, input: &Val<'v>, round: fn(f64) -> f64) -> One<'v> {
        match input {
            Val::Number(number) if integer(number).is_some() => Ok(input.clone()),
            other => finite(round(number_of(name, other)?)),
        }
    }

    fn get_path(&self, input: &Val<'v>, path: &Val<'v>) -> One<'v> {
        let mut value = input.clone();
        for part in self.items("getpath", path)?.iter() {
            self.meter.step(1)?;
            value = index(&value, part)?;
        }
        Ok(value)
    }

    fn fields_function(&self, builtin: Builtin, input: &Val<'v>) -> One<'v> {
        let name = builtin.name();
        if let (Builtin::Keys | Builtin::KeysUnsorted, Kind::Array) = (builtin, input.kind()) {
            let len = input.len().unwrap_or(0);
            copied(len, self.meter)?;
            return Ok(Val::list((0..len).map(size).collect(), self.meter)?);
        }
        match builtin {
            Builtin::ToArray if input.kind() == Kind::Array => Ok(input.clone()),
            Builtin::ToArray => Ok(Val::list(vec![input.clone()], self.meter)?),
            Builtin::FromEntries => self.of_entries(input),
            Builtin::Keys => {
                let fields =
                    input.sorted_fields(self.meter)?.ok_or_else(|| wrong(name, "an object", input))?;
                Ok(Val::list(fields.into_iter().map(|(name, _)| Val::Text(name)).collect(), self.meter)?)
            }
            _ => {
                let fields = input.fields(self.meter)?.ok_or_else(|| wrong(name, "an object", input))?;
                let mut items = Vec::with_capacity(fields.len());
                for (name, value) in fields.iter() {
                    let name = Val::Text(name.clone());
                    items.push(if builtin == Builtin::ToEntries {
                        self.entry(name, value.clone())?
                    } else {
                        name
                    });
                }
                Ok(Val::list(items, self.meter)?)
            }
        }
    }

    fn entry(&self, name: Val<'v>, value: Val<'v>) -> One<'v> {
        let pair = [(Text::Borrowed("key"), name), (Text::Borrowed("value"), value)];
        Ok(Val::object(pair.into_iter().collect(), self.meter)?)
    }

    /// An object of `{key, value}` (or `k`, `name`; `v`) entries.
    pub fn of_entries(&self, input: &Val<'v>) -> One<'v> {
        let mut object = Fields::new();
        for entry in self.items("from_entries", input)?.iter() {
            let first = |names: &[&str]| names.iter().find_map(|name| entry.field(name)).unwrap_or(Val::Null);
            let key = match first(&["key", "k", "name", "Key", "K", "Name"]) {
                Val::Text(key) => key,
                key @ (Val::Null | Val::Bool(_) | Val::Number(_)) => {
                    Text::Shared(to_json(&key, self.meter)?.into())
                }
                other => return Err(wrong("from_entries", "a string as key", &other)),
            };
            object.insert(key, first(&["value", "v", "Value", "V"]));
        }
        Ok(Val::object(object, self.meter)?)
    }

    fn text_function(
        &self,
        builtin: Builtin,
        input: &Val<'v>,
        args: &[Val<'v>],
        regex: Option<&Arc<Pattern>>,
    ) -> One<'v> {
        let name = builtin.name();
        // jq leaves what is not text as it is here.
        if matches!(builtin, Builtin::Ltrimstr | Builtin::Rtrimstr | Builtin::Trimstr) {
            let (Some(text), Some(cut)) = (input.as_str(), args[0].as_str()) else {
                return Ok(input.clone());
            };
            let mut rest = text;
            if builtin != Builtin::Rtrimstr {
                rest = rest.strip_prefix(cut).unwrap_or(rest);
            }
            if builtin != Builtin::Ltrimstr {
                rest = rest.strip_suffix(cut).unwrap_or(rest);
            }
            return Ok(Val::text(rest, self.meter)?);
        }
        let text = text_of(name, input)?;
        self.meter.step(text.len() / 16)?;
        let made = |text: &str| Ok(Val::text(text, self.meter)?);
        let count = |steps| self.meter.step(steps).map_err(Stop::from);
        match builtin {
            Builtin::AsciiDowncase => made(&text.to_ascii_lowercase()),
            Builtin::AsciiUpcase => made(&text.to_ascii_uppercase()),
            Builtin::Trim => made(text.trim()),
            Builtin::Ltrim => made(text.trim_start()),
            Builtin::Rtrim => made(text.trim_end()),
            Builtin::StartsWith => Ok(Val::Bool(text.starts_with(text_of(name, &args[0])?))),
            Builtin::EndsWith => Ok(Val::Bool(text.ends_with(text_of(name, &args[0])?))),
            Builtin::Split if args.len() == 1 => operator::split(text, text_of(name, &args[0])?, self.meter),
            Builtin::Split => {
                let regex = self.pattern(name, &args[0], args.get(1), None, text)?;
                let (mut parts, mut end) = (Vec::new(), 0);
                regex.each(text, true, count, |caught| {
                    let whole = caught.whole();
                    parts.push(Val::text(&text[end..whole.start], self.meter)?);
                    end = whole.end;
                    Ok(())
                })?;
                parts.push(Val::text(&text[end..], self.meter)?);
                Ok(Val::list(parts, self.meter)?)
            }
            Builtin::Test => {
                let regex = self.pattern(name, &args[0], args.get(1), regex, text)?;
                Ok(Val::Bool(regex.is_match(text, count)?))
            }
            Builtin::Index | Builtin::RightIndex | Builtin::Indices => {
                let places = self.places(text, text_of(name, &args[0])?)?;
                self.chosen(builtin, places)
            }
            Builtin::Base64Decode => {
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .map_err(|_| Stop::error("this is not base64".to_owned()))?;
                made(&String::from_utf8_lossy(&bytes))
            }
            _ => Err(wrong(name, "an array or object", input)),
        }
    }

    /// Where a part begins in a text, in characters; overlapping places too.
    fn places(&self, text: &str, part: &str) -> Result<Vec<usize>, Stop<'v>> {
        let mut places = Vec::new();
        if part.is_empty() {
            return Ok(places);
        }
        for (place, (at, _)) in text.char_indices().enumerate() {
            self.meter.step(1)?;
            if text[at..].starts_with(part) {
                self.meter.step(part.len() / 16)?;
                places.push(place);
            }
        }
        Ok(places)
    }

    pub(super) fn chosen(&self, builtin: Builtin, places: Vec<usize>) -> One<'v> {
        match builtin {
            Builtin::Index => Ok(places.first().map_or(Val::Null, |place| size(*place))),
            Builtin::RightIndex => Ok(places.last().map_or(Val::Null, |place| size(*place))),
            _ => Ok(Val::list(places.into_iter().map(size).collect(), self.meter)?),
        }
    }

    /// The regular expression of an argument: compiled before where it is constant, else once as long as it stays the
    /// same.
    pub fn pattern(
        &self,
        name: &str,
        pattern: &Val<'v>,
        flags: Option<&Val<'v>>,
        compiled: Option<&Arc<Pattern>>,
        text: &str,
    ) -> Result<Arc<Pattern>, Stop<'v>> {
        if text.len() > MAX_MATCHED {
            return Err(Stop::error(format!("`{name}` reads at most {MAX_MATCHED} bytes of text")));
        }
        self.meter.step(16)?;
        if let Some(compiled) = compiled {
            return Ok(compiled.clone());
        }
        let (pattern, flags) = (text_of(name, pattern)?, flags.map_or(Ok(""), |flags| text_of(name, flags))?);
        self.meter.step(pattern.len() / 16)?;
        let mut last = self.pattern.borrow_mut();
        if let Some((_, _, known)) = last.as_ref().filter(|last| last.0 == pattern && last.1 == flags) {
            return Ok(known.clone());
        }
        // A class of many characters is a few of the pattern's.
        self.meter.step(10_000 + 1_000 * pattern.len())?;
        let compiled = Arc::new(Pattern::new(pattern, flags, Dialect::Jq).map_err(Stop::error)?);
        *last = Some((pattern.to_owned(), flags.to_owned(), compiled.clone()));
        Ok(compiled)
    }
}

impl Builtin {
    /// Functions that need text, whatever they are given.
    fn is_of_text(self) -> bool {
        matches!(
            self,
            Self::AsciiDowncase
                | Self::AsciiUpcase
                | Self::Trim
                | Self::Ltrim
                | Self::Rtrim
                | Self::Ltrimstr
                | Self::Rtrimstr
                | Self::Trimstr
                | Self::StartsWith
                | Self::EndsWith
                | Self::Split
                | Self::Test
                | Self::Base64Decode
        )
    }
}

fn to_number<'v>(input: &Val<'v>) -> One<'v> {
    match input {
        Val::Number(_) => Ok(input.clone()),
        Val::Text(text) => match from_text(text.as_str()) {
            // Rust reads `+1`, `.5`, `inf`, `1_0` and such in ways that JSON does not.
            Some(number) if serde_json::from_str::<Value>(text.as_str()).is_ok() => Ok(Val::Number(number)),
            _ => Err(Stop::error(format!("{} is not a number", input.preview()))),
        },
        other => Err(wrong("tonumber", "a string", other)),
    }
}

/// Whether an object has a field or a list an index.
fn has<'v>(value: &Val<'v>, key: &Val<'v>) -> One<'v> {
    match (value.kind(), key) {
        (Kind::Object, Val::Text(name)) => Ok(Val::Bool(value.field(name.as_str()).is_some())),
        (Kind::Array, Val::Number(number)) => {
            let len = value.len().unwrap_or(0) as f64;
            Ok(Val::Bool((0.0..len).contains(&float(number))))
        }
        _ => Err(Stop::error(format!("{} can't have {}", value.preview(), key.preview()))),
    }
}

/// jq's containment: parts of objects, elements of lists, parts of text; else equality.
fn contains<'v>(whole: &Val<'v>, part: &Val<'v>, meter: &Meter) -> Result<bool, Stop<'v>> {
    meter.step(1)?;
    if whole.kind() != part.kind() {
        return Err(Stop::error(format!("{} can't contain {}", whole.preview(), part.preview())));
    }
    match (whole, part) {
        (Val::Text(whole), Val::Text(part)) => {
            meter.step(whole.as_str().len() / 4)?;
            Ok(whole.as_str().contains(part.as_str()))
        }
        _ if whole.kind() == Kind::Object => {
            for (name, value) in part.fields(meter)?.iter().flat_map(|fields| fields.iter()) {
                let within = whole.field(name.as_str()).is_some_and(|field| field.kind() == value.kind());
                if !within || !contains(&field(whole, name.as_str())?, value, meter)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ if whole.kind() == Kind::Array => {
            let (Some(whole), Some(part)) = (whole.items(meter)?, part.items(meter)?) else {
                return Ok(false);
            };
            for wanted in part.iter() {
                let mut found = false;
                for item in whole.iter().filter(|item| item.kind() == wanted.kind()) {
                    found = found || contains(item, wanted, meter)?;
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(whole.compare(part, meter)?.is_eq()),
    }
}

/// Seconds since 1970 to and from RFC 3339, in UTC.
fn date<'v>(builtin: Builtin, input: &Val<'v>, args: &[Val<'v>]) -> One<'v> {
    let name = builtin.name();
    if builtin == Builtin::FromDate {
        let text = text_of(name, input)?;
        let time: Timestamp = text.parse().map_err(|_| {
            Stop::error(format!("{} is not a time such as 2026-01-02T03:04:05Z", input.preview()))
        })?;
        if time.subsec_nanosecond() == 0 {
            return Ok(Val::from(time.as_second()));
        }
        return finite(time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9);
    }
    let seconds = number_of(name, input)?.floor();
    let time = Timestamp::from_second(seconds as i64)
        .map_err(|_| Stop::error(format!("{} is not a time", input.preview())))?;
    let format = match args.first() {
        Some(format) => text_of(name, format)?,
        None => "%Y-%m-%dT%H:%M:%SZ",
    };
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
    let text = jiff::fmt::strtime::format(format, &zoned)
        .map_err(|error| Stop::error(format!("`{format}` is not a format of time: {error}")))?;
    Ok(Val::Text(Text::Shared(text.into())))
}
