//! Operators' tokens. A token's secret is not stored, only a MAC that binds it to its id, role and
//! expiry: whoever can write to the database can neither make a token nor raise its role.

use domain::id::TokenId;
use domain::{Role, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::seal::{Purpose, Sealer};

statements! {
    INSERT = "INSERT INTO admin_tokens (token_id, hash, name, role, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    FIND = "SELECT token_id, hash, name, role, created_at, last_used_at, expires_at, retired_at
        FROM admin_tokens WHERE token_id = $1";
    PAGE = "SELECT token_id, hash, name, role, created_at, last_used_at, expires_at, retired_at
        FROM admin_tokens WHERE token_id > $1 ORDER BY token_id LIMIT $2";
    USED = "UPDATE admin_tokens SET last_used_at = $2
        WHERE token_id = $1 AND (last_used_at IS NULL OR last_used_at < $3)";
    /// Locks the owners' rows, so that two retirements do not each count on the other's token.
    HOLD_OWNERS = "UPDATE admin_tokens SET last_used_at = last_used_at
        WHERE role = 'owner' AND retired_at IS NULL";
    /// Does nothing to the last owner's token that is valid.
    RETIRE = "UPDATE admin_tokens SET retired_at = $2
        WHERE token_id = $1 AND retired_at IS NULL AND (role <> 'owner' OR EXISTS (
        SELECT 1 FROM admin_tokens o WHERE o.role = 'owner' AND o.retired_at IS NULL
        AND o.token_id <> $1 AND (o.expires_at IS NULL OR o.expires_at > $2)))";
}

/// An operator's token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// Our id.
    pub id: TokenId,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, roughly.
    pub last_used_at: Option<Timestamp>,
    /// From when on it is no longer taken.
    pub expires_at: Option<Timestamp>,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
}

/// A token's secret; it is in nobody's log.
#[derive(Clone, Copy)]
pub struct TokenSecret(pub [u8; 32]);

impl std::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSecret")
    }
}

impl AdminToken {
    /// Whether it is taken at a time.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.retired_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }

    fn mac_parts<T>(&self, secret: TokenSecret, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (id, role) = (self.id.to_string(), self.role.as_str());
        let expires = self.expires_at.map_or(i64::MAX, Timestamp::as_micros).to_be_bytes();
        with(&[id.as_bytes(), role.as_bytes(), &expires, &secret.0])
    }
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    token_id: String,
    hash: Vec<u8>,
    name: String,
    role: String,
    created_at: i64,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    retired_at: Option<i64>,
}

impl TokenRow {
    fn into_token(self) -> Result<AdminToken> {
        let row = Row { table: "admin_tokens", key: &self.token_id };
        Ok(AdminToken {
            id: row.parse("token_id", &self.token_id)?,
            role: row.parse("role", &self.role)?,
            created_at: Timestamp::from_micros(self.created_at),
            last_used_at: self.last_used_at.map(Timestamp::from_micros),
            expires_at: self.expires_at.map(Timestamp::from_micros),
            retired_at: self.retired_at.map(Timestamp::from_micros),
            name: self.name,
        })
    }
}

impl Tx {
    /// Adds a token.
    pub async fn insert_token(
        &mut self,
        sealer: &Sealer,
        token: &AdminToken,
        secret: TokenSecret,
    ) -> Result<()> {
        let hash = token.mac_parts(secret, |parts| sealer.mac(Purpose::Token, parts));
        execute!(
            self,
            INSERT,
            token.id.to_string(),
            hash.as_slice(),
            &token.name,
            token.role.as_str(),
            token.created_at.as_micros(),
            token.expires_at.map(Timestamp::as_micros),
        )?;
        Ok(())
    }

    /// The token of an id and a secret; an unknown id costs the same as a wrong secret.
    pub async fn token_of_secret(
        &mut self,
        sealer: &Sealer,
        id: TokenId,
        secret: TokenSecret,
    ) -> Result<Option<AdminToken>> {
        let Some(row) = fetch_optional!(self, TokenRow, FIND, id.to_string())? else {
            let _ = sealer.mac_holds(Purpose::Token, &[&secret.0], &[0; 32]);
            return Ok(None);
        };
        let hash = row.hash.clone();
        let token = row.into_token()?;
        let holds = |parts: &[&[u8]]| sealer.mac_holds(Purpose::Token, parts, &hash);
        Ok(token.mac_parts(secret, holds).then_some(token))
    }

    /// A token by its id.
    pub async fn token(&mut self, id: TokenId) -> Result<Option<AdminToken>> {
        let row = fetch_optional!(self, TokenRow, FIND, id.to_string())?;
        row.map(TokenRow::into_token).transpose()
    }

    /// A page of tokens, retired ones too, the oldest first.
    pub async fn tokens(&mut self, after: &str, limit: i64) -> Result<Vec<AdminToken>> {
        let rows = fetch_all!(self, TokenRow, PAGE, after, limit)?;
        rows.into_iter().map(TokenRow::into_token).collect()
    }

    /// Notes that a token is used, unless that was noted since `stale`.
    pub async fn note_token_use(
        &mut self,
        id: TokenId,
        now: Timestamp,
        stale: Timestamp,
    ) -> Result<()> {
        execute!(self, USED, id.to_string(), now.as_micros(), stale.as_micros())?;
        Ok(())
    }

    /// Retires a token; `false`, and nothing done, if it is retired or the last owner's that is
    /// valid.
    pub async fn retire_token(&mut self, id: TokenId, now: Timestamp) -> Result<bool> {
        execute!(self, HOLD_OWNERS)?;
        Ok(execute!(self, RETIRE, id.to_string(), now.as_micros())? == 1)
    }
}
