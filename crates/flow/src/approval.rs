//! `call: human.approve`: what people are asked, and the rules by which their answers decide.
//!
//! The first choice needs [`Asked::needed`] people, any other one decides as soon as somebody takes it: approving may
//! take two, rejecting takes one. Nobody decides twice, and the requester not at all.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

use crate::duration;

/// The operation's name.
pub const OPERATION: &str = "human.approve";
/// Longest title, in characters.
pub const TITLE_MAX: usize = 200;
/// Longest body, in characters.
pub const BODY_MAX: usize = 10_000;
/// Choices of one question.
pub const CHOICES_MAX: usize = 10;
/// Longest choice, and longest name of a person, in characters.
pub const NAME_MAX: usize = 200;
/// People asked at most.
pub const ASSIGNEES_MAX: usize = 50;
/// Longest comment, in characters.
pub const COMMENT_MAX: usize = 2_000;
/// Nobody waits longer for people than this, deadline or not.
pub const WAIT_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);

/// What people are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub title: String,
    /// Plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The first one is what the flow asks for.
    pub choices: Vec<String>,
    /// Who may decide; anybody, if empty.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// How many people must take the first choice.
    pub needed: u32,
    /// Who asks, and may not decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// The choice that counts once the deadline has passed; without it, passing fails the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

/// One person's answer. Decisions are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub by: String,
    pub choice: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    pub at: Timestamp,
    /// How it came in: `api`, `command`, `link`, or the connector of the chat where a button was pressed.
    pub via: String,
    /// From where: an address, a user of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// Why somebody's answer does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The choice, and what there is.
    Choice(String, String),
    /// Who, and who is asked.
    NotAsked(String, String),
    Requester(String),
    Twice(String),
    /// Of whom only the chat's own name is known, where the rules need more.
    Unknown(String),
    Nobody,
    TooLong(&'static str),
    /// Which of them holds characters that are not text.
    Control(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Choice(choice, all) => write!(f, "`{choice}` is none of the choices; there are: {all}"),
            Refusal::NotAsked(who, all) => write!(f, "{who} is not asked; it is for {all} to decide"),
            Refusal::Requester(who) => write!(f, "{who} asks for it, and somebody else has to decide"),
            Refusal::Twice(who) => write!(f, "{who} has decided already"),
            Refusal::Unknown(who) => write!(
                f,
                "whether {who} may decide needs their address, which the chat does not tell; it has to be allowed to \
                 read people's addresses, or {who} be named in `assignees`"
            ),
            Refusal::Nobody => f.write_str("it is not said who decides"),
            Refusal::TooLong(why) => f.write_str(why),
            Refusal::Control(what) => write!(f, "{what} holds control characters; write it as plain text"),
        }
    }
}

impl std::error::Error for Refusal {}

/// A question and until when it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub asked: Asked,
    pub within: Option<SignedDuration>,
    /// An operation that tells each assignee, and its arguments.
    pub notify: Option<(String, Value)>,
}

/// What `with` may hold, as JSON Schema.
pub fn schema() -> Value {
    let name = json!({"type": "string", "minLength": 1, "maxLength": NAME_MAX});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": TITLE_MAX,
                "description": "What is to be decided, in a line"},
            "body": {"type": "string", "maxLength": BODY_MAX, "description": "All that is needed to decide, as plain text"},
            "choices": {"type": "array", "minItems": 1, "maxItems": CHOICES_MAX, "uniqueItems": true, "items": name,
                "default": ["approve", "reject"], "description": "The first is what is asked for"},
            "assignees": {"type": "array", "maxItems": ASSIGNEES_MAX, "uniqueItems": true, "items": name,
                "description": "Who may decide; anybody, if left out"},
            "needed": {"type": "integer", "minimum": 1, "maximum": ASSIGNEES_MAX, "default": 1,
                "description": "How many must take the first choice; any other choice decides at once"},
            "requester": {"type": ["string", "null"], "maxLength": NAME_MAX,
                "description": "Who asks, and may not decide"},
            "deadline": {"type": ["string", "object"],
                "description": "How long it may take: `PT24H` or `{hours: 24}`"},
            "otherwise": {"type": "string", "description": "The choice that counts after the deadline; without it, the step fails"},
            "notify": {
                "type": "object", "additionalProperties": false, "required": ["call"],
                "description": "An operation that tells each assignee; {text}, {title}, {who} and {link} in its arguments are filled in",
                "properties": {"call": {"type": "string"}, "with": {"type": "object"}},
            },
        },
    })
}

/// `with`, as far as names and forms go; the rest are rules between them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    title: String,
    body: Option<String>,
    choices: Option<Vec<String>>,
    assignees: Option<Vec<String>>,
    needed: Option<u32>,
    requester: Option<String>,
    deadline: Option<Value>,
    otherwise: Option<String>,
    notify: Option<Notify>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Notify {
    call: String,
    #[serde(default)]
    with: Value,
}

impl Question {
    /// Reads a call's evaluated arguments; what is wrong with them, in a sentence.
    pub fn read(with: &Value) -> Result<Question, String> {
        let with: With = serde_json::from_value(with.clone()).map_err(|error| error.to_string())?;
        let asked = Asked {
            title: with.title.trim().to_owned(),
            body: with.body,
            choices: with.choices.unwrap_or_else(|| vec!["approve".to_owned(), "reject".to_owned()]),
            assignees: with.assignees.unwrap_or_default(),
            needed: with.needed.unwrap_or(1),
            requester: with.requester.filter(|requester| !requester.trim().is_empty()),
            otherwise: with.otherwise,
        };
        let within = with.deadline.as_ref().map(duration::from_value).transpose();
        let within = within.map_err(|why| format!("deadline: {why}"))?;
        asked.check(within)?;
        let notify = with.notify.map(|notify| (notify.call, notify.with));
        Ok(Question { asked, within, notify })
    }
}

impl Asked {
    fn check(&self, within: Option<SignedDuration>) -> Result<(), String> {
        let long = |text: &str, max: usize| text.is_empty() || text.chars().count() > max;
        let twice = |names: &[String]| {
            names.iter().enumerate().any(|(n, one)| names[..n].iter().any(|other| same(one, other)))
        };
        let others = self.assignees.iter().filter(|who| !self.is_requester(who)).count();
        let named = self.needed > 1 || self.requester.is_some();
        let found = [
            (long(&self.title, TITLE_MAX), format!("title: give 1 to {TITLE_MAX} characters")),
            (
                self.body.as_ref().is_some_and(|body| body.chars().count() > BODY_MAX),
                format!("body: at most {BODY_MAX} characters"),
            ),
            (
                self.choices.is_empty() || self.choices.len() > CHOICES_MAX,
                format!("choices: give 1 to {CHOICES_MAX}"),
            ),
            (
                self.choices.iter().chain(&self.assignees).any(|name| long(name.trim(), NAME_MAX)),
                format!("choices and assignees have 1 to {NAME_MAX} characters"),
            ),
            (twice(&self.choices) || twice(&self.assignees), "a choice or an assignee is given twice".to_owned()),
            (
                self.assignees.len() > ASSIGNEES_MAX,
                format!("assignees: at most {ASSIGNEES_MAX}"),
            ),
            (self.needed == 0, "needed: at least 1".to_owned()),
            (
                named && self.assignees.is_empty(),
                "assignees: name them where several are needed, or where the requester may not decide: otherwise \
                 nobody knows who it is that decides"
                    .to_owned(),
            ),
            (
                !self.assignees.is_empty() && others < self.needed as usize,
                format!("needed: {} must approve, and there are {others} who may", self.needed),
            ),
            (
                self.otherwise.as_ref().is_some_and(|choice| !self.choices.contains(choice)),
                "otherwise: it is none of the choices".to_owned(),
            ),
            (
                self.otherwise.is_some() && within.is_none(),
                "otherwise: it counts after the deadline, and there is none".to_owned(),
            ),
            (
                within.is_some_and(|within| !within.is_positive() || within > WAIT_MAX),
                "deadline: it is longer than 366 days, or nothing".to_owned(),
            ),
        ];
        match found.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, why)) => Err(why),
            None => Ok(()),
        }
    }

    fn is_requester(&self, who: &str) -> bool {
        self.requester.as_deref().is_some_and(|requester| same(requester, who))
    }

    /// Whether this person may take this choice now.
    pub fn allows(&self, decision: &Decision, before: &[Decision]) -> Result<(), Refusal> {
        let who = decision.by.trim();
        if who.is_empty() {
            return Err(Refusal::Nobody);
        }
        if who.chars().count() > NAME_MAX {
            return Err(Refusal::TooLong("a name has at most 200 characters"));
        }
        if decision.comment.as_ref().is_some_and(|comment| comment.chars().count() > COMMENT_MAX) {
            return Err(Refusal::TooLong("a comment has at most 2000 characters"));
        }
        if who.contains(char::is_control) {
            return Err(Refusal::Control("the name"));
        }
        let breaks = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        if decision.comment.as_ref().is_some_and(|comment| comment.contains(breaks)) {
            return Err(Refusal::Control("the comment"));
        }
        if !self.choices.contains(&decision.choice) {
            return Err(Refusal::Choice(decision.choice.clone(), self.choices.join(", ")));
        }
        if self.is_requester(who) {
            return Err(Refusal::Requester(who.to_owned()));
        }
        if !self.assignees.is_empty() && !self.assignees.iter().any(|name| same(name, who)) {
            return Err(Refusal::NotAsked(who.to_owned(), self.assignees.join(", ")));
        }
        if before.iter().any(|earlier| same(&earlier.by, who)) {
            return Err(Refusal::Twice(who.to_owned()));
        }
        Ok(())
    }

    /// Which name somebody decides under who goes by any of these: an assignee's, or else the first. Whoever asks for
    /// it, or has decided, under one name does not decide under another one: whose address is not among the names could be
    /// anybody who is known by an address.
    pub fn who(&self, names: &[String], before: &[Decision]) -> Result<String, Refusal> {
        let first = names.iter().find(|name| !name.trim().is_empty()).ok_or(Refusal::Nobody)?;
        let theirs = |name: &str| names.iter().any(|one| same(one, name));
        if names.iter().any(|name| self.is_requester(name)) {
            return Err(Refusal::Requester(first.clone()));
        }
        let has_address = names.iter().any(|name| is_address(name));
        let hidden = |other: &str| !has_address && is_address(other);
        let others = self.requester.iter().chain(before.iter().map(|earlier| &earlier.by));
        if others.into_iter().any(|other| hidden(other)) {
            return Err(Refusal::Unknown(first.clone()));
        }
        let by = self.assignees.iter().find(|assignee| theirs(assignee));
        if before.iter().any(|earlier| theirs(&earlier.by)) {
            return Err(Refusal::Twice(by.unwrap_or(first).clone()));
        }
        match by {
            Some(by) => Ok(by.clone()),
            None if self.assignees.is_empty() => Ok(first.clone()),
            None if self.assignees.iter().any(|assignee| hidden(assignee)) => {
                Err(Refusal::Unknown(first.clone()))
            }
            None => Err(Refusal::NotAsked(first.clone(), self.assignees.join(", "))),
        }
    }

    /// What the decisions amount to, if they decide.
    pub fn decided<'a>(&'a self, decisions: &'a [Decision]) -> Option<&'a str> {
        let first = self.choices.first()?;
        let other = decisions.iter().find(|decision| decision.choice != *first);
        if let Some(other) = other {
            return Some(&other.choice);
        }
        (decisions.len() >= self.needed as usize).then_some(first)
    }

    /// People who may still decide.
    pub fn open<'a>(&'a self, decisions: &'a [Decision]) -> impl Iterator<Item = &'a str> {
        let names = self.assignees.iter().map(String::as_str);
        names.filter(|who| {
            !self.is_requester(who) && !decisions.iter().any(|decision| same(&decision.by, who))
        })
    }
}

/// What the step gives.
pub fn output(id: &str, choice: &str, decisions: &[Decision], expired: bool) -> Value {
    let told = |decision: &Decision| json!({"by": decision.by, "choice": decision.choice, "comment": decision.comment, "at": decision.at});
    let decisions: Vec<Value> = decisions.iter().map(told).collect();
    json!({"id": id, "choice": choice, "decisions": decisions, "expired": expired})
}

fn is_address(name: &str) -> bool {
    name.contains('@')
}

/// Whether two names are one person's: case and outer space do not matter.
pub fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    fn decision(by: &str, choice: &str) -> Decision {
        Decision {
            by: by.to_owned(),
            choice: choice.to_owned(),
            comment: None,
            at: Timestamp::UNIX_EPOCH,
            via: "api".to_owned(),
            origin: None,
        }
    }

    fn asked(with: Value) -> Asked {
        Question::read(&with).unwrap().asked
    }

    #[test]
    fn one_person_has_several_names_and_one_voice() {
        let asked = asked(json!({"title": "t", "assignees": ["ann@x.com", "U2", "eve@x.com"], "needed": 2,
            "requester": "Eve@x.com"}));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (who, before, expected) in [
            (names(&["U1", "Ann@X.com"]), vec![], Ok("ann@x.com")),
            (names(&["U2", "bob@x.com"]), vec![], Ok("U2")),
            (names(&["U3", "eve@x.com"]), vec![], Err("U3 asks for it, and somebody else has to decide")),
            (
                names(&["U4", "carl@x.com"]),
                vec![],
                Err("U4 is not asked; it is for ann@x.com, U2, eve@x.com to decide"),
            ),
            (names(&["U1", "ann@x.com"]), vec!["ann@x.com"], Err("ann@x.com has decided already")),
            (names(&["U2", "bob@x.com"]), vec!["bob@x.com"], Err("U2 has decided already")),
            (names(&["U2", "bob@x.com"]), vec!["ann@x.com"], Ok("U2")),
            (names(&[]), vec![], Err("it is not said who decides")),
        ] {
            let before: Vec<_> = before.into_iter().map(|by| decision(by, "approve")).collect();
            let found = asked.who(&who, &before).map_err(|refused| refused.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{who:?}");
        }
        let open = self::asked(json!({"title": "t"}));
        assert_eq!(open.who(&names(&["ann@x.com", "U1"]), &[]), Ok("ann@x.com".to_owned()));
        // A name of the chat alone could be anybody's.
        let one_name = |question: Value| self::asked(question).who(&names(&["U1"]), &[]);
        let unknown = Err(Refusal::Unknown("U1".to_owned()));
        for (question, expected) in [
            (json!({"title": "t"}), Ok("U1".to_owned())),
            (json!({"title": "t", "assignees": ["ann@x.com"]}), unknown.clone()),
            (
                json!({"title": "t", "assignees": ["U2"]}),
                Err(Refusal::NotAsked("U1".to_owned(), "U2".to_owned())),
            ),
            (json!({"title": "t", "assignees": ["U1"], "requester": "eve@x.com"}), unknown),
            (json!({"title": "t", "assignees": ["U1"], "requester": "U2"}), Ok("U1".to_owned())),
            (
                json!({"title": "t", "assignees": ["U1", "U2"], "requester": "U1"}),
                Err(Refusal::Requester("U1".to_owned())),
            ),
        ] {
            assert_eq!(one_name(question.clone()), expected, "{question}");
        }
        let two = self::asked(json!({"title": "t", "assignees": ["ann@x.com", "U1"], "needed": 2}));
        let before = [decision("ann@x.com", "approve")];
        assert_eq!(two.who(&names(&["U1"]), &before), Err(Refusal::Unknown("U1".to_owned())));
        assert_eq!(two.who(&names(&["bob@x.com", "U1"]), &before), Ok("U1".to_owned()));
    }

    #[test]
    fn a_title_is_enough() {
        let question = Question::read(&json!({"title": "Refund?"})).unwrap();
        let Question { asked, within, notify } = question;
        assert_eq!(
            (asked.choices.as_slice(), asked.needed),
            (&["approve".to_owned(), "reject".to_owned()][..], 1)
        );
        assert_eq!((within, notify), (None, None));
        assert_eq!(asked.allows(&decision("anybody", "approve"), &[]), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (with, part) in [
            (json!({}), "title"),
            (json!({"title": " "}), "title"),
            (json!({"title": "t", "titel": 1}), "titel"),
            (json!({"title": "t", "body": "x".repeat(BODY_MAX + 1)}), "body"),
            (json!({"title": "t", "choices": []}), "choices"),
            (json!({"title": "t", "choices": ["a", "A"]}), "twice"),
            (json!({"title": "t", "needed": 0}), "needed"),
            (json!({"title": "t", "needed": 2}), "assignees"),
            (json!({"title": "t", "requester": "ann"}), "assignees"),
            (json!({"title": "t", "needed": 2, "assignees": ["ann", "bob"], "requester": "BOB"}), "needed"),
            (json!({"title": "t", "otherwise": "maybe", "deadline": "PT1H"}), "otherwise"),
            (json!({"title": "t", "otherwise": "reject"}), "otherwise"),
            (json!({"title": "t", "deadline": "tomorrow"}), "deadline"),
            (json!({"title": "t", "deadline": "P400D"}), "deadline"),
            (json!({"title": "t", "notify": {}}), "call"),
        ] {
            let why = Question::read(&with).expect_err(&with.to_string());
            assert!(why.contains(part), "{with}: {why}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let asked = asked(json!({"title": "t"}));
        for (by, comment, expected) in [
            ("ann", "two\nlines\tand a tab", Ok(())),
            ("a\u{0}nn", "", Err(Refusal::Control("the name"))),
            ("a\nnn", "", Err(Refusal::Control("the name"))),
            ("ann", "no\u{0}", Err(Refusal::Control("the comment"))),
            ("ann", "\u{1b}[31m", Err(Refusal::Control("the comment"))),
        ] {
            let decision = Decision { comment: Some(comment.to_owned()), ..decision(by, "approve") };
            assert_eq!(asked.allows(&decision, &[]), expected, "{by:?} {comment:?}");
        }
    }

    #[test]
    fn who_may_decide_what() {
        let asked = asked(json!({
            "title": "t", "assignees": ["Ann", "bob", "eve"], "requester": "eve", "choices": ["yes", "no"],
        }));
        let before = [decision("ann", "yes")];
        for (who, choice, expected) in [
            ("bob", "yes", None),
            (" BOB ", "no", None),
            ("bob", "maybe", Some("choices")),
            ("carl", "yes", Some("not asked")),
            ("EVE", "yes", Some("somebody else")),
            ("ANN", "no", Some("already")),
            ("  ", "yes", Some("who")),
        ] {
            let told = asked.allows(&decision(who, choice), &before).err().map(|refusal| refusal.to_string());
            match expected {
                None => assert_eq!(told, None, "{who} {choice}"),
                Some(part) => {
                    assert!(told.as_ref().is_some_and(|told| told.contains(part)), "{who}: {told:?}")
                }
            }
        }
        assert_eq!(asked.open(&before).collect::<Vec<_>>(), ["bob"]);
    }

    #[test]
    fn approving_takes_as_many_as_needed_and_rejecting_one() {
        let asked = asked(json!({"title": "t", "assignees": ["a", "b", "c"], "needed": 2}));
        let (yes, no) = (|who| decision(who, "approve"), |who| decision(who, "reject"));
        for (decisions, expected) in [
            (vec![], None),
            (vec![yes("a")], None),
            (vec![yes("a"), yes("b")], Some("approve")),
            (vec![no("a")], Some("reject")),
            (vec![yes("a"), no("b")], Some("reject")),
        ] {
            assert_eq!(asked.decided(&decisions), expected, "{decisions:?}");
        }
    }

    #[test]
    fn the_schema_takes_what_is_read() {
        let schema = Schema::compile(&schema()).unwrap();
        let full = json!({
            "title": "t", "body": "b", "choices": ["yes", "no"], "assignees": ["ann", "bob"], "needed": 2,
            "requester": null, "deadline": {"hours": 24}, "otherwise": "no",
            "notify": {"call": "chat.messages.post", "with": {"text": "{text}"}},
        });
        assert_eq!(schema.check(&full).err(), None);
        assert!(Question::read(&full).is_ok());
        assert!(schema.check(&json!({"title": "t", "needed": "2"})).is_err());
    }
}
