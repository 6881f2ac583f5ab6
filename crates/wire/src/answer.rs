//! The envelope around answers.

use serde::{Deserialize, Serialize};

use crate::code::Code;

/// The envelope (published).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// `S` or `F`.
    #[serde(rename = "operateCode")]
    pub operate_code: String,
    /// `success` or `fail`.
    pub message: String,
    /// The answer itself.
    pub data: T,
}

impl<T> Envelope<T> {
    /// Around the answer of a call that succeeded.
    pub fn success(data: T) -> Self {
        Self { operate_code: "S".to_owned(), message: "success".to_owned(), data }
    }
}

impl Envelope<Failure> {
    /// Around the reason of a call that failed.
    pub fn failure(data: Failure) -> Self {
        Self { operate_code: "F".to_owned(), message: "fail".to_owned(), data }
    }
}
/// What a failure says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The reason, in the caller's language (published).
    pub message: String,
    /// The order's number, if the call was about one (published).
    pub data: Option<String>,
    /// The reason for programs (chosen).
    pub code: String,
    /// The first field that is wrong (chosen).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// All fields that are wrong, where there are several (chosen).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The signing content as the server built it; in test mode only (chosen).
    #[serde(rename = "signContent", skip_serializing_if = "Option::is_none")]
    pub sign_content: Option<String>,
    /// The likely cause; in test mode only (chosen).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with a code and a message.
    pub fn new(code: Code, message: String) -> Self {
        Self { code: code.as_str().to_owned(), message, ..Self::default() }
    }
}
