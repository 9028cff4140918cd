//! Erlang terms as Erlang prints them.

use std::fmt;

/// A term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// An atom without its quotes, a number, or something that cannot be written (a pid, a fun).
    Word(String),
    /// A tuple.
    Tuple(Vec<Self>),
    /// A list.
    List(Vec<Self>),
}

impl Term {
    /// The term that a text begins with.
    pub(super) fn first_of(text: &str) -> Self {
        let mut reader = Reader { rest: text.trim_start() };
        reader.term()
    }

    /// The word that it is.
    pub(super) fn word(&self) -> &str {
        match self {
            Self::Word(word) => word,
            other => panic!("{other} is no word"),
        }
    }

    /// The parts of a tuple or a list.
    pub(super) fn parts(&self) -> &[Self] {
        match self {
            Self::Tuple(parts) | Self::List(parts) => parts,
            Self::Word(word) => panic!("{word} has no parts"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, parts, close) = match self {
            Self::Word(word) => return f.write_str(word),
            Self::Tuple(parts) => ('{', parts, '}'),
            Self::List(parts) => ('[', parts, ']'),
        };
        let parts: Vec<String> = parts.iter().map(Self::to_string).collect();
        write!(f, "{open}{}{close}", parts.join(","))
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn term(&mut self) -> Term {
        match self.rest.chars().next() {
            Some('{') => Term::Tuple(self.parts('}')),
            Some('[') => Term::List(self.parts(']')),
            Some('\'') => Term::Word(self.until_after('\'')),
            Some('"') => Term::Word(self.until_after('"')),
            // A pid; a fun is `#Fun<...>`.
            Some('<') => Term::Word(self.enclosed("<")),
            Some('#') => Term::Word(self.enclosed("#Fun<")),
            _ => Term::Word(self.plain()),
        }
    }

    fn parts(&mut self, close: char) -> Vec<Term> {
        let mut parts = Vec::new();
        self.skip(1);
        while !self.rest.starts_with(close) {
            parts.push(self.term());
            self.rest = self.rest.trim_start();
            if self.rest.starts_with(',') {
                self.skip(1);
            }
        }
        self.skip(1);
        parts
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }

    fn until_after(&mut self, quote: char) -> String {
        let (word, rest) = self.rest[1..].split_once(quote).expect("a quote that ends");
        self.rest = rest.trim_start();
        word.to_owned()
    }

    fn enclosed(&mut self, open: &str) -> String {
        let (word, rest) = self.rest[open.len()..].split_once('>').expect("a `>`");
        self.rest = rest.trim_start();
        format!("{open}{word}>")
    }

    fn plain(&mut self) -> String {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && !"_@.".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        assert!(!word.is_empty(), "no term begins with `{rest}`");
        self.rest = rest.trim_start();
        word.to_owned()
    }
}

#[test]
fn terms_are_read_as_erlang_prints_them() {
    let text = "{'EXIT', [ok,<0.1.2>,\n  #Fun<a.1>],{g,20},\"f.erl\", []} log=none";
    assert_eq!(Term::first_of(text).to_string(), "{EXIT,[ok,<0.1.2>,#Fun<a.1>],{g,20},f.erl,[]}");
}
