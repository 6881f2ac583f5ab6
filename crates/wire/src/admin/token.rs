//! Operators' tokens.

use super::record::kinds::{NAME, ROLE};
use super::record::{Kind, Secret, records};

records! {
    /// An operator's token, without its secret.
    Token {
        /// Our id.
        token_id: String = Kind::Id("tok"),
        /// Whose it is, for people and the audit log.
        name: String = NAME,
        /// What it may do.
        role: String = ROLE,
        /// When it was made.
        created_at: String = Kind::Time,
        /// When it was last used, to ten minutes.
        last_used_at: Option<String> = Kind::Time,
        /// From when on it is no longer taken.
        expires_at: Option<String> = Kind::Time,
        /// When it was retired.
        retired_at: Option<String> = Kind::Time,
    }
    /// A token to be made.
    NewToken {
        /// Whose it is, for people and the audit log.
        name: String = NAME,
        /// What it may do.
        role: String = ROLE,
        /// From when on it is no longer taken; never, if left out.
        expires_at: Option<String> = Kind::Time,
    }
    /// A token that was just made. Its text is not stored and cannot be shown again.
    IssuedToken {
        /// The token.
        token: Token = Kind::Record(&Token::RECORD),
        /// What goes into the header `Authorization: Bearer …`.
        text: Secret = Kind::Text { min: 1, max: 200 },
    }
    /// Whose token a request carries.
    Whoami {
        /// The token's id.
        token_id: String = Kind::Id("tok"),
        /// Its name.
        name: String = NAME,
        /// What it may do.
        role: String = ROLE,
        /// From when on it is no longer taken.
        expires_at: Option<String> = Kind::Time,
    }
}
