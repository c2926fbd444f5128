//! Digest access authentication (RFC 7616): an answer to the question that a refusal brings, made from user and password,
//! neither of which is sent. MD5 and SHA-256, both also with `-sess`; quality of protection `auth`.
//!
//! Each question is answered once. The client's own number is derived from the password and the question, so that
//! nobody else can foretell it and nothing is drawn by lot.

use md5::{Digest as _, Md5};
use ring::digest::{SHA256, digest};
use url::{Position, Url};

use crate::credentials::Secret;
use crate::error::{Class, Error};

/// Characters of the client's number.
const NUMBER_CHARS: usize = 32;

/// Who calls.
pub(super) struct Login {
    pub username: Secret,
    pub password: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
}

impl Hash {
    fn of(self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Md5 => hex(&Md5::digest(text)[..]),
            Self::Sha256 => hex(digest(&SHA256, text.as_bytes()).as_ref()),
        }
    }
}

/// A question as a server asks it.
#[derive(Debug, PartialEq)]
struct Question {
    hash: Hash,
    session: bool,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// With `qop`; without it, the older way of RFC 2069.
    protected: bool,
}

impl Login {
    /// The `Authorization` header that answers the questions of a refusal, the strongest of those that are understood.
    pub fn answer<'q>(
        &self,
        questions: impl Iterator<Item = &'q str>,
        method: &str,
        url: &Url,
    ) -> Result<Secret, Error> {
        let question = questions.flat_map(challenges).max_by_key(|question| question.hash);
        let Some(question) = question else {
            let why = "the answer asks no question that `digest` answers (MD5 or SHA-256, qop auth)";
            return Err(Error::of(Class::Auth, "unauthorized", why));
        };
        let number =
            &Hash::Sha256.of(&format!("{}:{}", self.password.reveal(), question.nonce))[..NUMBER_CHARS];
        self.header(&question, number, method, &url[Position::BeforePath..Position::AfterQuery])
    }

    fn header(&self, question: &Question, number: &str, method: &str, uri: &str) -> Result<Secret, Error> {
        let Question { hash, session, realm, nonce, opaque, protected } = question;
        let user = self.username.reveal();
        if [user, realm, nonce].iter().any(|text| text.chars().any(char::is_control)) {
            let why = "a user's name with control characters cannot stand in a header";
            return Err(Error::of(Class::Auth, "credential_invalid", why));
        }
        let mut secret = hash.of(&format!("{user}:{realm}:{}", self.password.reveal()));
        if *session {
            secret = hash.of(&format!("{secret}:{nonce}:{number}"));
        }
        let asked = hash.of(&format!("{method}:{uri}"));
        let response = match protected {
            true => hash.of(&format!("{secret}:{nonce}:00000001:{number}:auth:{asked}")),
            false => hash.of(&format!("{secret}:{nonce}:{asked}")),
        };
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let algorithm = match hash {
            Hash::Md5 => "MD5",
            Hash::Sha256 => "SHA-256",
        };
        let mut header = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm={algorithm}{}",
            quoted(user),
            quoted(realm),
            quoted(nonce),
            if *session { "-sess" } else { "" },
        );
        if *protected {
            header += &format!(", qop=auth, nc=00000001, cnonce=\"{number}\"");
        }
        if let Some(opaque) = opaque {
            header += &format!(", opaque=\"{}\"", quoted(opaque));
        }
        Ok(Secret::new(header))
    }
}

/// The questions of a `WWW-Authenticate` header that are understood.
fn challenges(header: &str) -> Vec<Question> {
    let mut found = Vec::new();
    let mut scheme = "";
    let mut fields: Vec<(String, String)> = Vec::new();
    for part in parts(header) {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
        // `Digest realm="…"` begins a question; what follows without a scheme is of the same one.
        let (begins, name) = match name.trim().rsplit_once(char::is_whitespace) {
            Some((begins, name)) => (Some(begins.trim()), name),
            None if value.is_none() => (Some(name.trim()), ""),
            None => (None, name.trim()),
        };
        if let Some(begins) = begins {
            found.extend(question(scheme, &fields));
            fields.clear();
            scheme = begins;
        }
        if let Some(value) = value {
            fields.push((name.trim().to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    found.extend(question(scheme, &fields));
    found
}

fn question(scheme: &str, fields: &[(String, String)]) -> Option<Question> {
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let algorithm = field("algorithm").unwrap_or_else(|| "MD5".to_owned()).to_ascii_uppercase();
    let (name, session) = match algorithm.strip_suffix("-SESS") {
        Some(name) => (name, true),
        None => (algorithm.as_str(), false),
    };
    let hash = match name {
        "MD5" => Hash::Md5,
        "SHA-256" => Hash::Sha256,
        _ => return None,
    };
    let protected = match field("qop") {
        None => false,
        Some(kinds) if kinds.split(',').any(|kind| kind.trim().eq_ignore_ascii_case("auth")) => true,
        Some(_) => return None,
    };
    Some(Question {
        hash,
        session,
        realm: field("realm")?,
        nonce: field("nonce")?,
        opaque: field("opaque"),
        protected,
    })
}

/// What stands between commas outside of quotes.
fn parts(header: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in header.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&header[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&header[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::new();
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(username: &str, password: &str) -> Login {
        Login { username: Secret::new(username), password: Secret::new(password) }
    }

    /// The examples of RFC 7616 (3.9.1), with the number that they use.
    #[test]
    fn the_standards_examples_come_out() {
        let asked = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
                     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", \
                     Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
                     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let found = challenges(asked);
        assert_eq!(found.iter().map(|question| question.hash).collect::<Vec<_>>(), [Hash::Sha256, Hash::Md5]);
        let number = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (question, response) in found.iter().zip([
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            "8ca523f5e9506fed4657c9700eebdbec",
        ]) {
            let header =
                login("Mufasa", "Circle of Life").header(question, number, "GET", "/dir/index.html").unwrap();
            assert!(header.reveal().contains(&format!("response=\"{response}\"")), "{}", header.reveal());
            assert!(header.reveal().contains("nc=00000001, cnonce=\"f2/wE"), "{}", header.reveal());
        }
        // RFC 2617 3.5 without `qop`, as RFC 2069 (errata 749) computes it.
        let old =
            challenges("Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"");
        let header = login("Mufasa", "CircleOfLife").header(&old[0], "", "GET", "/dir/index.html").unwrap();
        assert!(
            header.reveal().contains("response=\"1949323746fe6a43ef61f9606e7febea\""),
            "{}",
            header.reveal()
        );
        assert!(!header.reveal().contains("qop"));
    }

    #[test]
    fn questions_are_told_from_other_schemes() {
        for (header, count) in [
            ("Basic realm=\"a, Digest b\"", 0),
            ("Negotiate, Digest realm=\"a\\\"b\", nonce=n", 1),
            ("Bearer error=x, Digest realm=a, nonce=n, qop=auth-int", 0),
            ("Digest realm=a, nonce=n, algorithm=SHA-512-256", 0),
            ("digest nonce=n", 0),
            ("Digest realm=a, nonce=n, algorithm=md5-sess, qop=AUTH, stale=true", 1),
            ("", 0),
        ] {
            assert_eq!(challenges(header).len(), count, "{header}");
        }
        assert_eq!(challenges("Digest realm=\"a\\\"b\", nonce=n")[0].realm, "a\"b");
        assert!(challenges("Digest realm=a, nonce=n, algorithm=md5-sess, qop=auth")[0].session);
        let url = Url::parse("https://x.test/a?b=1").unwrap();
        let none = login("u", "p").answer(["Basic realm=x"].into_iter(), "GET", &url).unwrap_err();
        assert_eq!(none.class, Class::Auth);
        let header = login("a\"b", "p").answer(["Digest realm=a, nonce=n"].into_iter(), "GET", &url).unwrap();
        assert!(
            header.reveal().contains("username=\"a\\\"b\"") && header.reveal().contains("uri=\"/a?b=1\"")
        );
    }
}
