//! Products and prices. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call, Route};
use crate::error::ApiError;
use crate::money;

const PRODUCT: &[&str] = &["name", "description", "active", "id"];
const PRICE: &[&str] = &[
    "currency",
    "unit_amount",
    "product",
    "recurring[interval]",
    "recurring[interval_count]",
    "lookup_key",
    "nickname",
];
/// The words of an interval, each with the most of them that a period may have.
const INTERVALS: [(&str, i64); 4] = [("day", 1_095), ("week", 156), ("month", 36), ("year", 3)];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("POST", "/v1/products", PRODUCT, create_product),
    Route::new("GET", "/v1/products", &[], |call| call.list("product", &[])),
    Route::new("GET", "/v1/products/*", &[], |call| {
        let id = call.own("product", "id")?;
        Ok(call.show(&id))
    }),
    Route::new("POST", "/v1/prices", PRICE, create_price),
    Route::new("GET", "/v1/prices", &["lookup_keys[*]", "product"], list_prices),
    Route::new("GET", "/v1/prices/*", &[], |call| {
        let id = call.own("price", "price")?;
        Ok(call.show(&id))
    }),
];

fn create_product(call: &mut Call<'_>) -> Answered {
    let name = call.params.required("name")?.to_owned();
    let metadata = call.params.metadata(&Value::Null)?;
    let id = match call.params.text("id") {
        Some(id) if call.state.get(id).is_some() => {
            let message = format!("Product already exists: {id}");
            return Err(ApiError::param("id", message).code("resource_already_exists"));
        }
        Some(id) => id.to_owned(),
        None => call.state.id("prod"),
    };
    let active = call.params.boolean("active")?.unwrap_or(true);
    call.state.add(json!({
        "id": id, "object": "product", "active": active, "default_price": null,
        "description": call.params.text("description"), "images": [], "metadata": metadata,
        "name": name, "type": "service", "updated": call.state.now,
    }));
    call.state.emit("product.created", &id, Value::Null);
    Ok(call.show(&id))
}

fn create_price(call: &mut Call<'_>) -> Answered {
    let params = call.params;
    let currency = money::currency(params.required("currency")?)?;
    params.required("unit_amount")?;
    let amount = params.integer("unit_amount")?.unwrap_or_default();
    money::check_unit(amount, &currency, "unit_amount")?;
    params.required("product")?;
    let product = call.named("product", "product")?;
    let words = INTERVALS.map(|(word, _)| word);
    let recurring = match params.choice("recurring[interval]", &words)? {
        None => Value::Null,
        Some(interval) => {
            let count = params.integer("recurring[interval_count]")?.unwrap_or(1);
            let most = INTERVALS.iter().find(|(word, _)| *word == interval).map_or(1, |it| it.1);
            if !(1..=most).contains(&count) {
                let message = format!("interval_count is from 1 to {most} for {interval}");
                return Err(ApiError::param("recurring[interval_count]", message));
            }
            json!({"interval": interval, "interval_count": count, "usage_type": "licensed",
                "meter": null, "trial_period_days": null})
        }
    };
    let key = params.text("lookup_key").map(str::to_owned);
    if key.is_some() && call.state.newest("price").any(|price| price["lookup_key"] == json!(key)) {
        return Err(ApiError::param("lookup_key", "A price already uses that lookup key."));
    }
    let metadata = params.metadata(&Value::Null)?;
    let id = call.state.id("price");
    let kind = if recurring.is_null() { "one_time" } else { "recurring" };
    call.state.add(json!({
        "id": id, "object": "price", "active": true, "billing_scheme": "per_unit",
        "currency": currency, "lookup_key": key, "metadata": metadata,
        "nickname": params.text("nickname"), "product": product, "recurring": recurring,
        "tax_behavior": "unspecified", "type": kind, "unit_amount": amount,
        "unit_amount_decimal": amount.to_string(),
    }));
    call.state.emit("price.created", &id, Value::Null);
    Ok(call.show(&id))
}

fn list_prices(call: &mut Call<'_>) -> Answered {
    let keys = call.params.list("lookup_keys");
    let product = call.params.text("product");
    let fits = |price: &&Value| {
        (keys.is_empty() || price["lookup_key"].as_str().is_some_and(|key| keys.contains(&key)))
            && product.is_none_or(|product| price["product"] == product)
    };
    let found: Vec<&Value> = call.state.newest("price").filter(fits).collect();
    call.page(&found)
}
