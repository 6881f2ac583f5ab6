//! Operators' tokens: made here, shown once, checked at every request.

use domain::id::{RequestId, TokenId};
use domain::{Ctx, Role, Span, Timestamp};
use serde_json::Value;
use store::{AdminToken, AuditEntry, Sealer, Store, TokenSecret};
use wire::admin::token::{IssuedToken, NewToken, Token, Whoami};
use wire::admin::{List, NAME_CHARS_MAX, Problem, Secret};

use super::{Change, Operator, Page, json, text, time};
use crate::Mall;
use crate::error::Result;

/// What every token begins with, so that one that leaked is found by those who look for such.
const PREFIX: &str = "smt";
/// How exactly it is known when a token was last used.
const USE_NOTED_EVERY: Span = Span::minutes(10);

fn issue(ctx: &Ctx, name: String, role: Role, expires_at: Option<Timestamp>) -> Fresh {
    let secret = TokenSecret(ctx.random());
    let token = AdminToken {
        id: ctx.id(),
        name,
        role,
        created_at: ctx.now(),
        last_used_at: None,
        expires_at,
        retired_at: None,
    };
    Fresh { token, secret }
}

/// A token that was just made.
struct Fresh {
    token: AdminToken,
    secret: TokenSecret,
}

impl Fresh {
    /// `smt_<its id's digits>_<its secret>`.
    fn text(&self) -> String {
        let id = self.token.id.to_string();
        let digits = id.split_once('_').map_or("", |(_, digits)| digits);
        format!("{PREFIX}_{digits}_{}", hex::encode(self.secret.0))
    }

    fn issued(&self) -> IssuedToken {
        IssuedToken { token: shown(&self.token), text: Secret(self.text()) }
    }
}

/// Makes a token on the database itself, for whoever holds the sealing key: the first one cannot
/// come over the API.
pub async fn made_offline(
    store: &Store,
    ctx: &Ctx,
    sealer: &Sealer,
    (name, role, expires_at): (&str, Role, Option<Timestamp>),
) -> Result<IssuedToken> {
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        let detail = format!("not a printable text of 1 to {NAME_CHARS_MAX} characters");
        return Err(Problem::field("name", detail).into());
    }
    if expires_at.is_some_and(|at| at <= ctx.now()) {
        return Err(Problem::field("expires_at", "not in the future").into());
    }
    let mut tx = store.begin().await?;
    // Under another key than the mall's the token would be worth nothing.
    if let Some((row, sealed)) = tx.some_key().await? {
        sealer.open(&row, &sealed).map_err(store::StoreError::from)?;
    }
    let fresh = issue(ctx, name.to_owned(), role, expires_at);
    let entry = AuditEntry {
        id: ctx.id::<domain::id::kind::Audit>().to_string(),
        at: ctx.now(),
        token_id: String::new(),
        token_name: "command line".to_owned(),
        action: "token.add".to_owned(),
        mode: String::new(),
        object: format!("tokens/{}", fresh.token.id),
        before: Value::Null.to_string(),
        after: json(&shown(&fresh.token)).to_string(),
        request_id: String::new(),
    };
    tx.insert_token(sealer, &fresh.token, fresh.secret).await?;
    tx.insert_audit(sealer, &entry).await?;
    tx.commit().await?;
    Ok(fresh.issued())
}

/// The id and the secret in a token's text.
fn parse(text: &str) -> Option<(TokenId, TokenSecret)> {
    let (digits, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(secret, &mut bytes).ok()?;
    Some((format!("tok_{digits}").parse().ok()?, TokenSecret(bytes)))
}

fn shown(token: &AdminToken) -> Token {
    Token {
        token_id: token.id.to_string(),
        name: token.name.clone(),
        role: token.role.as_str().to_owned(),
        created_at: text(token.created_at),
        last_used_at: token.last_used_at.map(text),
        expires_at: token.expires_at.map(text),
        retired_at: token.retired_at.map(text),
    }
}

impl Mall {
    /// The operator whose token a request carries. Nothing tells an unknown token from a wrong, a
    /// retired or an expired one.
    pub async fn operator(
        &self,
        token: Option<&str>,
        request: Option<RequestId>,
    ) -> Result<Operator> {
        let unknown = |detail: &str| Problem::new(401, "UNAUTHENTICATED", detail);
        let Some(token) = token else {
            return Err(unknown("give a token in the header `Authorization: Bearer …`").into());
        };
        let refused = || unknown("the token is not known, or no longer taken");
        let (id, secret) = parse(token).ok_or_else(refused)?;
        let now = self.ctx.now();
        let mut tx = self.store.read().await?;
        let found = tx.token_of_secret(&self.sealer, id, secret).await?;
        drop(tx);
        let token = found.filter(|token| token.is_valid(now)).ok_or_else(refused)?;
        self.note_use(&token, now).await;
        Ok(Operator {
            token_id: token.id.to_string(),
            name: token.name,
            role: token.role,
            expires_at: token.expires_at,
            request_id: request,
        })
    }

    /// Notes that a token is used, now and then only. The request does not depend on it.
    async fn note_use(&self, token: &AdminToken, now: Timestamp) {
        let stale = now - USE_NOTED_EVERY;
        if token.last_used_at.is_some_and(|at| at >= stale) {
            return;
        }
        let noted = async {
            let mut tx = self.store.begin().await?;
            tx.note_token_use(token.id, now, stale).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the use of a token could not be noted");
        }
    }

    /// Whose token this is.
    pub fn whoami(&self, by: &Operator) -> Whoami {
        Whoami {
            token_id: by.token_id.clone(),
            name: by.name.clone(),
            role: by.role.as_str().to_owned(),
            expires_at: by.expires_at.map(text),
        }
    }

    /// All tokens, the oldest first.
    pub async fn list_tokens(&self, page: &Page) -> Result<List<Token>> {
        let mut tx = self.store.read().await?;
        let tokens = tx.tokens(&page.after, page.limit_and_one()).await?;
        Ok(page.list(tokens, |token| token.id.to_string(), |token| shown(&token)))
    }

    /// Makes a token.
    pub async fn add_token(&self, by: &Operator, new: &NewToken) -> Result<IssuedToken> {
        let role = new
            .role
            .parse()
            .map_err(|error: domain::UnknownWord| Problem::field("role", error.to_string()))?;
        let expires_at = time("expires_at", new.expires_at.as_deref())?;
        if expires_at.is_some_and(|at| at <= self.ctx.now()) {
            return Err(Problem::field("expires_at", "not in the future").into());
        }
        let fresh = issue(&self.ctx, new.name.clone(), role, expires_at);
        let mut tx = self.store.begin().await?;
        tx.insert_token(&self.sealer, &fresh.token, fresh.secret).await?;
        let change = Change {
            action: "token.add",
            mode: None,
            object: format!("tokens/{}", fresh.token.id),
            before: Value::Null,
            after: json(&shown(&fresh.token)),
        };
        self.record(&mut tx, by, change).await?;
        tx.commit().await?;
        Ok(fresh.issued())
    }

    /// Retires a token; one that is retired stays as it is.
    pub async fn retire_token(&self, by: &Operator, id: &str) -> Result<Token> {
        let unknown = || Problem::not_found("token");
        let id: TokenId = id.parse().map_err(|_| unknown())?;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let before = tx.token(id).await?.ok_or_else(unknown)?;
            if before.retired_at.is_some() {
                return Ok(shown(&before));
            }
            if !tx.retire_token(id, self.ctx.now()).await? {
                let now = tx.token(id).await?.ok_or_else(unknown)?;
                if now.retired_at.is_some() {
                    // Somebody else did at the same moment.
                    return Ok(shown(&now));
                }
                let detail = "the last owner's token cannot be retired: make another one first";
                return Err(Problem::conflict("LAST_OWNER", detail).into());
            }
            let after = AdminToken { retired_at: Some(self.ctx.now()), ..before.clone() };
            let change = Change {
                action: "token.retire",
                mode: None,
                object: format!("tokens/{id}"),
                before: json(&shown(&before)),
                after: json(&shown(&after)),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(shown(&after))
        })
        .await
    }
}
