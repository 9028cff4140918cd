//! How the program ends when it does not succeed.

/// What to tell, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) code: u8,
}

impl Failure {
    /// It was tried and did not work.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    /// The arguments or the settings file are wrong.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 2 }
    }

    /// The node that was asked says no.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 3 }
    }

    /// Nobody answers at the control socket.
    pub(crate) fn silent(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 4 }
    }
}
