//! A call on its way to its handler: what was asked, and by whom. Touches the state only.

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::params::Params;
use crate::state::{State, shown};

/// What a list shows unless told, and at most.
const PAGE_DEFAULT: i64 = 10;
const PAGE_MAX: i64 = 100;

/// The parameters that every call and every list takes.
pub(crate) const ANYWHERE: &[&str] = &["expand[*]", "key"];
pub(crate) const LISTS: &[&str] = &["limit", "starting_after", "created[*]"];
const METADATA: &[&str] = &["metadata", "metadata[*]"];

pub(crate) type Answered = Result<Value, ApiError>;

/// One call: method, path with `*` for ids, parameters, whether an end user's program may make it, what it does.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) params: &'static [&'static str],
    pub(crate) is_public: bool,
    pub(crate) run: fn(&mut Call<'_>) -> Answered,
}

impl Route {
    pub(crate) const fn new(
        method: &'static str,
        path: &'static str,
        params: &'static [&'static str],
        run: fn(&mut Call<'_>) -> Answered,
    ) -> Self {
        Self { method, path, params, is_public: false, run }
    }

    pub(crate) const fn public(self) -> Self {
        Self { is_public: true, ..self }
    }

    /// The ids of a path, if it is this one's.
    pub(crate) fn matches(&self, method: &str, path: &str) -> Option<Vec<String>> {
        let (pattern, given) = (self.path.split('/'), path.split('/'));
        if self.method != method || pattern.clone().count() != given.clone().count() {
            return None;
        }
        let mut ids = Vec::new();
        for (part, given) in pattern.zip(given) {
            match part {
                "*" if !given.is_empty() => ids.push(given.to_owned()),
                part if part == given => {}
                _ => return None,
            }
        }
        Some(ids)
    }

    pub(crate) fn check(&self, params: &Params) -> Result<(), ApiError> {
        let lists = if self.method == "GET" { LISTS } else { &[] };
        let metadata = if self.method == "POST" { METADATA } else { &[] };
        params.check(&[self.params, ANYWHERE, lists, metadata])
    }
}

pub(crate) struct Call<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) params: &'a Params,
    pub(crate) ids: Vec<String>,
    pub(crate) path: &'a str,
    /// Whether an end user's program asks, with a publishable key.
    pub(crate) is_public: bool,
}

impl Call<'_> {
    pub(crate) fn id(&self) -> String {
        self.ids.first().cloned().unwrap_or_default()
    }

    /// The object that the path names.
    pub(crate) fn own(&self, kind: &str, param: &str) -> Result<String, ApiError> {
        let id = self.id();
        self.state.find(kind, &id, param, 404)?;
        Ok(id)
    }

    pub(crate) fn show(&self, id: &str) -> Value {
        self.state.shown(id)
    }

    /// An object that a parameter names, if it does.
    pub(crate) fn named(&self, kind: &str, param: &str) -> Result<Option<String>, ApiError> {
        let Some(id) = self.params.text(param) else { return Ok(None) };
        self.state.find(kind, id, param, 400)?;
        Ok(Some(id.to_owned()))
    }

    /// A page of a kind, newest first, of those whose fields equal the parameters of these names.
    pub(crate) fn list(&self, kind: &str, filters: &[&str]) -> Answered {
        let fits = |object: &&Value| {
            let equal =
                |name: &&str| self.params.text(name).is_none_or(|wanted| object[*name] == wanted);
            object["deleted"].is_null() && filters.iter().all(equal) && self.is_in_time(object)
        };
        let found: Vec<&Value> = self.state.newest(kind).filter(fits).collect();
        self.page(&found)
    }

    pub(crate) fn is_in_time(&self, object: &Value) -> bool {
        let created = object["created"].as_i64().unwrap_or_default();
        let limit = |name: &str| self.params.text(name).and_then(|text| text.parse::<i64>().ok());
        limit("created[gte]").is_none_or(|limit| created >= limit)
            && limit("created[gt]").is_none_or(|limit| created > limit)
            && limit("created[lte]").is_none_or(|limit| created <= limit)
            && limit("created[lt]").is_none_or(|limit| created < limit)
    }

    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.params.integer("limit")?.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(ApiError::param("limit", "Limit must be between 1 and 100."));
        }
        Ok(usize::try_from(limit).unwrap_or_default())
    }

    pub(crate) fn page(&self, found: &[&Value]) -> Answered {
        let limit = self.limit()?;
        let from = match self.params.text("starting_after") {
            None => 0,
            Some(id) => {
                let place = found.iter().position(|object| object["id"] == id);
                let kind = self.state.field(id, "object");
                let kind = kind.as_str().unwrap_or("object");
                let error = || ApiError::no_such(400, kind, id, "starting_after");
                place.ok_or_else(error)?.saturating_add(1)
            }
        };
        let data: Vec<Value> = found.iter().skip(from).take(limit).copied().map(shown).collect();
        let has_more = found.len() > from.saturating_add(limit);
        Ok(json!({"object": "list", "url": self.path, "has_more": has_more, "data": data}))
    }
}
