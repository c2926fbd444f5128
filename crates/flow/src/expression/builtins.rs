//! The functions that expressions have: all of them total, or failing with a message; none without end.

use super::node::Node;

macro_rules! builtins {
    ($($variant:ident $shape:ident $(($name:literal, $arity:literal))+;)*) => {
        /// A function of the expression language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Builtin { $($variant),* }

        const TABLE: &[(&str, usize, Builtin)] = &[$($(($name, $arity, Builtin::$variant),)+)*];

        impl Builtin {
            pub fn shape(self) -> Shape {
                match self { $(Self::$variant => Shape::$shape),* }
            }

            /// A name of it, for messages.
            pub fn name(self) -> &'static str {
                TABLE.iter().find(|(_, _, builtin)| *builtin == self).map_or("", |(name, ..)| *name)
            }
        }
    };
}

/// How a function treats its arguments, and how many results it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Takes values and gives one.
    Plain,
    /// Takes terms and gives one value.
    One,
    /// Takes terms or values and gives any number of values.
    Many,
}

builtins! {
    Abs Plain ("abs", 0) ("fabs", 0);
    AddAll Plain ("add", 0);
    AddEach One ("add", 1);
    AllOf Plain ("all", 0);
    AllEach One ("all", 1) ("all", 2);
    AnyOf Plain ("any", 0);
    AnyEach One ("any", 1) ("any", 2);
    AsciiDowncase Plain ("ascii_downcase", 0);
    AsciiUpcase Plain ("ascii_upcase", 0);
    Base64Decode Plain ("@base64d", 0);
    Capture Many ("capture", 1) ("capture", 2);
    Ceil Plain ("ceil", 0);
    Contains Plain ("contains", 1);
    Del One ("del", 1);
    Empty Many ("empty", 0);
    EndsWith Plain ("endswith", 1);
    Error Plain ("error", 0) ("error", 1);
    First Plain ("first", 0);
    FirstEach Many ("first", 1);
    Flatten Plain ("flatten", 0) ("flatten", 1);
    Floor Plain ("floor", 0);
    FromDate Plain ("fromdate", 0) ("fromdateiso8601", 0);
    FromEntries Plain ("from_entries", 0);
    FromJson Plain ("fromjson", 0);
    GetPath Plain ("getpath", 1);
    GroupBy One ("group_by", 1);
    Gsub One ("gsub", 2) ("gsub", 3);
    Has Plain ("has", 1);
    In Plain ("in", 1);
    Index Plain ("index", 1);
    Indices Plain ("indices", 1);
    Inside Plain ("inside", 1);
    IsEmpty One ("isempty", 1);
    Join Plain ("join", 1);
    Keys Plain ("keys", 0);
    KeysUnsorted Plain ("keys_unsorted", 0);
    Last Plain ("last", 0);
    LastEach Many ("last", 1);
    Length Plain ("length", 0);
    Limit Many ("limit", 2);
    Ltrim Plain ("ltrim", 0);
    Ltrimstr Plain ("ltrimstr", 1);
    Map One ("map", 1);
    MapValues One ("map_values", 1);
    Max Plain ("max", 0);
    MaxBy One ("max_by", 1);
    Min Plain ("min", 0);
    MinBy One ("min_by", 1);
    Not Plain ("not", 0);
    Nth Plain ("nth", 1);
    Range Many ("range", 1) ("range", 2) ("range", 3);
    Reverse Plain ("reverse", 0);
    RightIndex Plain ("rindex", 1);
    Round Plain ("round", 0);
    Rtrim Plain ("rtrim", 0);
    Rtrimstr Plain ("rtrimstr", 1);
    Scan Many ("scan", 1) ("scan", 2);
    Select Many ("select", 1);
    SelectArrays Many ("arrays", 0);
    SelectBooleans Many ("booleans", 0);
    SelectIterables Many ("iterables", 0);
    SelectNulls Many ("nulls", 0);
    SelectNumbers Many ("numbers", 0);
    SelectObjects Many ("objects", 0);
    SelectScalars Many ("scalars", 0);
    SelectStrings Many ("strings", 0);
    SelectValues Many ("values", 0);
    Skip Many ("skip", 2);
    Sort Plain ("sort", 0);
    SortBy One ("sort_by", 1);
    Split Plain ("split", 1) ("split", 2);
    Sqrt Plain ("sqrt", 0);
    StartsWith Plain ("startswith", 1);
    Strftime Plain ("strftime", 1);
    Sub One ("sub", 2) ("sub", 3);
    Test Plain ("test", 1) ("test", 2);
    ToArray Plain ("toarray", 0);
    ToBoolean Plain ("toboolean", 0);
    ToDate Plain ("todate", 0) ("todateiso8601", 0) ("date", 0);
    ToEntries Plain ("to_entries", 0);
    ToJson Plain ("tojson", 0);
    ToNumber Plain ("tonumber", 0);
    ToString Plain ("tostring", 0);
    Transpose Plain ("transpose", 0);
    Trim Plain ("trim", 0);
    Trimstr Plain ("trimstr", 1);
    Type Plain ("type", 0);
    Unique Plain ("unique", 0);
    UniqueBy One ("unique_by", 1);
    Utf8ByteLength Plain ("utf8bytelength", 0);
    WithEntries One ("with_entries", 1);
}

impl Builtin {
    /// Whether a call of it gives exactly one result, or fails.
    pub fn is_single(self, args: &[Node]) -> bool {
        match self.shape() {
            Shape::Plain => args.iter().all(|arg| arg.single),
            Shape::One => true,
            Shape::Many => false,
        }
    }

    /// Which argument is a regular expression, and which its flags.
    pub fn pattern(self) -> Option<(usize, Option<usize>)> {
        match self {
            Self::Test | Self::Capture | Self::Scan => Some((0, Some(1))),
            Self::Sub | Self::Gsub => Some((0, Some(2))),
            _ => None,
        }
    }
}

/// The function of a name and a number of arguments.
pub fn find(name: &str, arity: usize) -> Option<Builtin> {
    TABLE.iter().find(|(known, takes, _)| *known == name && *takes == arity).map(|(_, _, builtin)| *builtin)
}

/// The numbers of arguments that functions of a name take.
pub fn arities(name: &str) -> Vec<usize> {
    TABLE.iter().filter(|(known, ..)| *known == name).map(|(_, takes, _)| *takes).collect()
}

/// The names of all functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, ..)| *name)
}
