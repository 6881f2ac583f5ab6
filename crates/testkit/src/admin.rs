//! Operators who call the admin API.

use domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::mall::{TestMall, http_client};
use crate::partner::TestPartner;

/// A client of the admin API with a token.
#[derive(Debug, Clone)]
pub struct AdminClient {
    url: String,
    /// The token's text, if it has one.
    pub token: Option<String>,
}

/// What the admin API answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null where there is none.
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn done(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self.body
    }

    /// The code of a failure with this status.
    #[track_caller]
    pub fn code(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.body["status"], status);
        self.body["code"].as_str().unwrap()
    }

    /// The fields that are wrong, of a refusal.
    #[track_caller]
    pub fn wrong_fields(&self) -> Vec<&str> {
        assert_eq!(self.code(400), "INVALID");
        let errors = self.body["errors"].as_array().unwrap();
        errors.iter().map(|error| error["field"].as_str().unwrap()).collect()
    }
}

impl TestMall {
    /// The SDK's client of the admin API, with a fresh token of a role.
    pub async fn admin_sdk(&self, role: Role) -> sdk::admin::Client {
        let token = self.add_token(&format!("a {}", role.as_str()), role).await;
        sdk::admin::Client::new(&self.admin_url(), &token).unwrap()
    }

    /// An operator with a fresh token of a role.
    pub async fn admin(&self, role: Role) -> AdminClient {
        let token = self.add_token(&format!("a {}", role.as_str()), role).await;
        self.admin_with(Some(token))
    }

    /// Makes a group of a partner under `PLAN-M`, with so many places; its name is its code.
    pub async fn add_group(&self, partner: &TestPartner, group_id: &str, sim_limit: i64) {
        let group = json!({
            "group_id": group_id, "name": group_id, "sim_limit": sim_limit, "plan_code": "PLAN-M",
        });
        let (mode, code) = (partner.partner.mode.as_str(), &partner.partner.code);
        let path = format!("/{mode}/partners/{code}/groups");
        self.admin(Role::Operator).await.post(&path, &group).await.done();
    }

    /// A client with some token, or none.
    pub fn admin_with(&self, token: Option<String>) -> AdminClient {
        AdminClient { url: format!("{}/admin/v1", self.admin_url()), token }
    }
}

impl AdminClient {
    /// Makes a request whose body is CSV.
    pub async fn put_csv(&self, path: &str, body: &str) -> Answer {
        let mut request = http_client().put(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.header("content-type", "text/csv").body(body.to_owned());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        Answer { status, body: serde_json::from_str(&response.text().await.unwrap()).unwrap() }
    }

    /// Makes a request; the path is that below the prefix.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = http_client().request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        assert!(response.headers().contains_key("x-request-id"));
        let kind = response.headers().get("content-type").cloned();
        let text = response.text().await.unwrap();
        if status >= 400 {
            assert_eq!(kind.as_ref().unwrap(), "application/problem+json", "{text}");
        }
        let body = match kind.filter(|kind| kind == "text/csv; charset=utf-8") {
            Some(_) => Value::from(text),
            None if text.is_empty() => Value::Null,
            None => serde_json::from_str(&text).unwrap(),
        };
        Answer { status, body }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// Posts.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    /// Puts.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, Some(body)).await
    }

    /// Patches.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, Some(body)).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    /// All items of a list, page by page.
    pub async fn all(&self, path: &str, limit: usize) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        let join = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&format!("{path}{join}limit={limit}{cursor}")).await.done();
            let found = page["items"].as_array().unwrap();
            assert!(found.len() <= limit);
            items.extend(found.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}
