//! The published requests, to the letter, against a mall with the demo's data.

use serde_json::json;
use testkit::{Engine, TestMall, on_both_engines};

on_both_engines!(
    published_requests_work_verbatim,
    the_placeholder_sign_is_refused_with_its_diagnosis,
);

const SYN_ORDER_INFO: &str = r#"{"autoRenewal":"0","deviceCode":"89852420180910340793","languageCode":"","mark":"0","orderNo":"NO2023060915590562022","orderPeriod":"1","orgOrderId":"","packageCode":"DP20190726001274","partnerCode":"P000270","payAccount":"1","payAmount":"12.36","payCurrency":"GBP","payId":"P000000002022","payResultDate":"2022-06-07 15:10:35","payRst":"SUCCESS","payStatus":"1","payType":"3","payUnit":"12.36","requestOrderId":"","servicePlanCode":"SP202111041459","servicePlanShowName":"biaoqianweikong","settlePrice":"12.36","sign":"3eb94e979cf82d2d58a7aa57dc357cb4","terminal":"1","tradeTime":"1654585746965","tradeType":"SynOrderInfo","transactionId":"ch_3L7wXlLnVNBddzsl1phHDiSi","version":"3.0"}"#;
const SINGLE_VERIFY: &str = r#"{"deviceCode":"89852420180910340793","languageCode":"1","mark":"0","partnerCode":"P000270","sign":"ea7a3bba7e345e0b8ca7f7e3b43d6e72","terminal":"1","tradeTime":"1645683857572","tradeType":"singleVerify","url":"https://dist.linksfield.net/login","version":"3.0"}"#;
const PLAN_PAGE: &str = r#"{"area":"欧洲","deviceCode":"89852420180910340793","languageCode":"1","mark":"0","partnerCode":"P000270","sign":"3fdb15332726c77cd792ea2328f98a80","terminal":"0","tradeTime":"1645782486394","tradeType":"singleServicePlanPage","version":"3.0"}"#;
const RESULT_QUERY: &str = r#"{"partnerCode":"P000818","payId":"20190321192436","sign":"1b14a937bc0f0fdbfc0b249ccde42e65","tradeTime":"20181031256548","tradeType":"resultQuery","version":"3.0"}"#;

async fn published_requests_work_verbatim(engine: Engine) {
    let mall = TestMall::start(engine).await;
    // At the bare root, as on the published pages, and under the test prefix.
    for prefix in ["", "/vshop_uat"] {
        let (status, card) = mall.post(&format!("{prefix}/singleVerify"), SINGLE_VERIFY).await;
        assert_eq!((status, card["data"]["payCurrency"].as_str()), (200, Some("GBP")), "{card}");
        let (status, page) = mall.post(&format!("{prefix}/singleServicePlanPage"), PLAN_PAGE).await;
        let plans = page["data"]["servicePlanList"].as_array().unwrap();
        assert!(status == 200 && plans.len() == 7, "{page}");
        assert!(plans.iter().all(|plan| plan["area"] == "欧洲"), "{page}");
    }
    let (status, order) = mall.post("/synPartner/SynOrderInfo", SYN_ORDER_INFO).await;
    assert_eq!((status, &order["operateCode"]), (200, &json!("S")), "{order}");
    assert_eq!(order["data"]["orderNo"], "NO2023060915590562022");
    mall.settle().await;
    let demo = mall.client(sdk::Prefix::Root, sdk::Credentials::md5("P000270"));
    let queue = demo.single_query_order("89852420180910340793").await.unwrap().order_list;
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].order_status, "2");
    assert_eq!(queue[0].service_plan_show_name, "biaoqianweikong");
    assert_eq!(queue[0].expire_date.as_deref(), Some("2024-04-09"));
    assert_eq!(queue[0].remaining_days, "30");
    // The repeat does nothing more.
    let (status, again) = mall.post("/vshop_uat/synPartner/SynOrderInfo", SYN_ORDER_INFO).await;
    assert_eq!((status, &again["data"]["orderStatus"]), (200, &json!("PROVISIONED")), "{again}");
    assert_eq!(again["data"]["orderId"], order["data"]["orderId"]);

    let (status, result) = mall.post("/resultQuery", RESULT_QUERY).await;
    assert_eq!(
        (status, result),
        (
            200,
            json!({
                "orderPeriod": "1", "packageType": "2", "partnerCode": "P000818",
                "payAmount": "$19.99", "payId": "20190321192436",
                "payResultDate": "2020-09-17 18:11:10", "payRst": "success",
                "servicePlanShowName": "USA 1 GB 30 Days Plus",
            })
        )
    );
    mall.stop().await;
}

async fn the_placeholder_sign_is_refused_with_its_diagnosis(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let placeholder = RESULT_QUERY
        .replace("1b14a937bc0f0fdbfc0b249ccde42e65", "b2a9e697bdff66049803d62ffeffccaf");
    let (status, refusal) = mall.post("/payment_uat/resultQuery", &placeholder).await;
    assert_eq!((status, &refusal["data"]["code"]), (400, &json!("SIGN_MISMATCH")));
    let content = refusal["data"]["signContent"].as_str().unwrap();
    assert!(content.starts_with(r#"{"partnerCode":"P000818","payId""#), "{content}");
    let hint = refusal["data"]["hint"].as_str().unwrap();
    assert!(hint.contains("changed"), "{hint}");
    mall.stop().await;
}
