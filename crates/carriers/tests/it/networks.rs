//! How the pretended networks speak, after the vendors' published pages.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use rsa::pkcs8::DecodePrivateKey;
use rsa::{Pkcs1v15Sign, PrivateKey};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::fake::{Protocol, Seen};

pub const ICCID: &str = "89852002021102915651";
pub const SECRET: &str = "s3cr3t-of-the-tests";

pub fn cube_key() -> String {
    let file: Value = serde_json::from_str(include_str!("../cube_v4.json")).unwrap();
    file["private_key_pkcs8_pem"].as_str().unwrap().to_owned()
}

pub struct Cube;

impl Protocol for Cube {
    fn is_order(&self, seen: &Seen) -> bool {
        seen.method == "POST" && seen.path == "/cube/v4/orders/service"
    }

    fn order(&self, taken: bool, _seen: &Seen) -> (u16, String) {
        let (data, code, message) = if taken {
            let data =
                json!({"status": 1, "created_at": 1_686_707_689_000_i64, "order_id": "OL-6XB9"});
            (data, "CB-00-0000", "成功")
        } else {
            (Value::Null, "CB-02-0003", "plan does not exist")
        };
        (200, json!({"data": data, "status": {"code": code, "message": message}}).to_string())
    }

    fn question(&self, seen: &Seen, done: bool) -> (u16, String) {
        let path = seen.path.split('?').next().unwrap();
        let bundle = |id: &str, status: u8| json!({"id": id, "status": status, "cycles": 1, "data_limit": "100", "added_at": "1686707689000"});
        let data = match path.trim_start_matches("/cube/v4") {
            "/skus" => {
                json!([{"id": "CP-1", "name": "n", "sim_service": {"bundle": {"data_limit": 31_457_280, "period_type": 2, "period_number": 3}}}])
            }
            "/orders/OL-6XB9/service" => {
                json!({"id": "OL-6XB9", "status": 1, "created_at": "1698802504000", "abnormal": []})
            }
            path if path.ends_with("/bundles") && done => {
                json!([bundle("LP1", 1), bundle("LP2", 0)])
            }
            path if path.ends_with("/bundles") => json!([bundle("LP1", 1)]),
            path if path.ends_with("/usage") => {
                json!({"usage": [{"period": "2023-07-01", "update_at": "2023-07-13T14:05:02", "data": {"all": "2222"}}]})
            }
            _ => json!({"sim_id": ICCID, "status": 23}),
        };
        (
            200,
            json!({"data": data, "status": {"code": "CB-00-0000", "message": "Success"}})
                .to_string(),
        )
    }

    fn inspect(&self, seen: &Seen) {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let mut members: BTreeMap<String, Value> =
            form_urlencoded::parse(query.as_bytes()).map(|(k, v)| (k.into(), json!(v))).collect();
        if let Ok(Value::Object(body)) = serde_json::from_str(&seen.body) {
            members.extend(body);
        }
        members.insert("x-sign-uri".to_owned(), json!(path));
        for name in ["timestamp", "nonce"] {
            members.insert(name.to_owned(), json!(seen.header(name)));
        }
        let canonical = serde_json::to_string(&members).unwrap();
        let given = seen.header("authorization").strip_prefix("LF key1/").unwrap();
        let key = PrivateKey::from_pkcs8_pem(&cube_key()).unwrap();
        let digest = Sha1::digest(canonical);
        let signature = BASE64.decode(given).unwrap();
        let public = key.as_public_key();
        public.verify(Pkcs1v15Sign::new::<Sha1>(), &digest, &signature).unwrap();
        assert_eq!(seen.header("x-lf-signature-type"), "2.0");
    }
}

pub struct Access;

impl Protocol for Access {
    fn is_order(&self, seen: &Seen) -> bool {
        seen.path == "/api/v1/open/esim/topup"
    }

    fn order(&self, taken: bool, seen: &Seen) -> (u16, String) {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        let answer = if taken {
            let obj = json!({"transactionId": body["transactionId"], "iccid": ICCID, "totalVolume": 200, "orderUsage": 1, "topUpEsimTranNo": "26032702180013"});
            json!({"success": true, "errorCode": null, "errorMsg": null, "obj": obj})
        } else {
            json!({"success": false, "errorCode": "310241", "errorMsg": "The packageCode does not exist.", "obj": null})
        };
        (200, answer.to_string())
    }

    fn question(&self, seen: &Seen, done: bool) -> (u16, String) {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        let volume = if done { 200 } else { 100 };
        let profile = json!({"esimTranNo": "T1", "orderNo": "B1", "iccid": ICCID, "esimStatus": "IN_USE",
            "smdpStatus": "ENABLED", "totalVolume": volume, "orderUsage": 1, "expiredTime": "2024-05-29T18:34:17+0000"});
        let obj = match seen.path.trim_start_matches("/api/v1/open") {
            "/balance/query" => json!({"balance": 940_000}),
            "/package/list" => {
                json!({"packageList": [{"packageCode": "TOPUP_1", "name": "n", "price": 112_500,
                "currencyCode": "USD", "volume": 5_368_709_120_i64, "duration": 30, "durationUnit": "DAY", "location": "SI,HR"}]})
            }
            "/esim/usage/query" => {
                json!({"esimUsageList": [{"esimTranNo": "T1", "dataUsage": 1, "totalData": 200, "lastUpdateTime": "2025-03-19T18:00:00+0000"}]})
            }
            "/esim/query" if body.get("orderNo").is_some() => {
                let refusal = json!({"success": false, "errorCode": "310272", "errorMsg": "The orderNo does not exist."});
                return (200, refusal.to_string());
            }
            _ => json!({"esimList": [profile]}),
        };
        (200, json!({"success": true, "errorCode": "0", "errorMsg": null, "obj": obj}).to_string())
    }

    fn inspect(&self, seen: &Seen) {
        let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        let mac =
            mac.chain_update(seen.header("rt-timestamp")).chain_update(seen.header("rt-requestid"));
        let mac = mac.chain_update("code1").chain_update(&seen.body).finalize().into_bytes();
        assert_eq!(seen.header("rt-signature"), hex::encode_upper(mac));
        assert_eq!((seen.method.as_str(), seen.header("rt-accesscode")), ("POST", "code1"));
    }
}

pub struct Go;

impl Protocol for Go {
    fn is_order(&self, seen: &Seen) -> bool {
        seen.method == "POST"
            && seen.path == "/v2.5/orders"
            && seen.body.contains(r#""transaction""#)
    }

    fn order(&self, taken: bool, _seen: &Seen) -> (u16, String) {
        if taken {
            (200, json!({"orderReference": "8e7c-1", "status": "completed", "statusMessage": "Order completed", "total": 3.5}).to_string())
        } else {
            (400, json!({"message": "bundle not found"}).to_string())
        }
    }

    fn question(&self, seen: &Seen, done: bool) -> (u16, String) {
        let path = seen.path.split('?').next().unwrap();
        let assignment = |number: &str| json!({"assignmentId": number, "bundleState": "queued", "initialQuantity": 1000, "remainingQuantity": 900});
        let assignments =
            if done { vec![assignment("1"), assignment("2")] } else { vec![assignment("1")] };
        let body = match path.trim_start_matches("/v2.5") {
            "/orders" => json!({"total": 3.5, "currency": "USD", "valid": true}),
            "/catalogue" => {
                json!({"bundles": [{"name": "esim_1GB", "description": "1 GB", "dataAmount": 1000, "duration": 7, "countries": [{"iso": "FR"}]}], "pageCount": 1})
            }
            path if path.starts_with("/orders/") => json!({"status": "completed"}),
            path if path.ends_with("/bundles") => {
                json!({"bundles": [{"name": "esim_1GB", "assignments": assignments}]})
            }
            _ => json!({"iccid": ICCID, "profileStatus": "Installed"}),
        };
        (200, body.to_string())
    }

    fn inspect(&self, seen: &Seen) {
        assert_eq!(seen.header("x-api-key"), SECRET);
        if seen.method == "POST" {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            assert_eq!(body["order"][0]["iccids"], json!([ICCID]));
            assert_eq!((&body["assign"], &body["order"][0]["quantity"]), (&json!(true), &json!(1)));
        }
    }
}

pub struct Plain;

impl Protocol for Plain {
    fn is_order(&self, seen: &Seen) -> bool {
        seen.method == "PUT" && seen.path.starts_with("/plain/v1/orders/")
    }

    fn order(&self, taken: bool, _seen: &Seen) -> (u16, String) {
        if taken {
            (200, json!({"id": "ord0123456789abcdef", "state": "done"}).to_string())
        } else {
            (422, json!({"code": "REFUSED", "message": "not allowed for this SIM"}).to_string())
        }
    }

    fn question(&self, seen: &Seen, done: bool) -> (u16, String) {
        let path = seen.path.split('?').next().unwrap().trim_start_matches("/plain/v1");
        let body = match (seen.method.as_str(), path) {
            (_, "/products") => {
                json!({"products": [{"id": "CP-1", "name": "1 GB", "bytes": 1_000, "days": 7}]})
            }
            (_, path) if path.starts_with("/orders/") => {
                if path.ends_with("/ordother") || !done {
                    return (
                        404,
                        json!({"code": "UNKNOWN", "message": "no such order"}).to_string(),
                    );
                }
                json!({"id": "ord0123456789abcdef", "state": "done"})
            }
            (_, path) if path.starts_with("/sims/") => {
                let bundle = json!({"id": "B1", "order": "ordold", "state": "active", "bytes": 1_000, "used": 100, "quantity": 1});
                json!({"state": "active", "bundles": [bundle]})
            }
            ("POST", path) if path.ends_with("/members") => {
                json!({"members": ["in", "out", "pending"]})
            }
            (_, path) if path.ends_with("/usage") => json!({"used": 100, "as_of": 5}),
            _ => json!({}),
        };
        (200, body.to_string())
    }

    fn inspect(&self, seen: &Seen) {
        assert_eq!(seen.header("x-api-key"), SECRET);
        if self.is_order(seen) {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            assert_eq!(body, json!({"iccid": ICCID, "product": "CP-1", "quantity": 1}));
        }
    }
}
