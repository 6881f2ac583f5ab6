# What the API says to people, in simplified Chinese. The ids are the same in every language.

# Why a call failed: one message per code of the API.

code-bad-request = 无法解析请求，请对照接口文档检查各字段。
code-partner-unknown = 该合作伙伴编码不存在，请检查 partnerCode，并确认它属于正式环境还是测试环境。
code-partner-suspended = 该合作伙伴已被停用，请联系商城运营方。
code-sign-mismatch = 签名与请求内容不符，请检查签名原文、签名方式和密钥。
code-sign-scheme-not-allowed = 签名正确，但该合作伙伴不能在此使用这种签名方式，请改用运营方已开通的方式。
code-trade-time-skew = tradeTime 与服务器时间相差过大，请校准调用方时钟后重新签名。
code-ip-not-allowed = 当前 IP 地址不在该合作伙伴的白名单内，请联系运营方添加。
code-sim-unknown = 该合作伙伴名下没有这张 SIM 卡，请核对卡号。
code-sim-not-sellable = 这张 SIM 卡目前不能订购套餐，请换一张卡或联系运营方。
code-plan-unknown = 套餐不存在，请使用套餐列表返回的 servicePlanCode 和 packageCode。
code-plan-not-for-sim = 该套餐不适用于这张 SIM 卡，请从这张卡的可购套餐列表中选择。
code-period-not-allowed = 该套餐不能按这个周期数订购，请从 orderPeriodList 中选择。
code-renewal-not-allowed = 该套餐不支持自动续订，请将 autoRenewal 设为 0。
code-price-mismatch = 金额与套餐价格不符，请重新获取套餐列表，并按其中的价格下单。
code-currency-mismatch = 该套餐不支持以此币种销售，请使用套餐列表中的币种。
code-order-conflict = 该编号此前已用于其他内容，请以原内容重试，或换用新的编号。
code-order-unknown = 订单不存在，请核对订单号。
code-payment-unknown = 支付记录不存在，请核对 payId。
code-renewal-unknown = 这张 SIM 卡没有对应的自动续订，请使用当前自动续订记录中的 orderNo 和 payId。
code-renewal-ended = orgOrderId 所指的自动续订已取消，或已被新的自动续订取代。如需重新约定自动续订，请将 orgOrderId 留空；否则请将 autoRenewal 设为 0。
code-group-unknown = SIM 卡组不存在，请使用卡组列表返回的 group_id。
code-request-unknown = 操作不存在，或其结果已超过 90 天保存期。请使用发起操作时返回的 request_id。
code-payment-declined = 付款被银行拒绝，请更换银行卡后重试。
code-payment-provider-unavailable = 支付服务暂时无响应，订单不会丢失，请稍后重试。
code-credit-exceeded = 该订单将超出合作伙伴的信用额度，请先与运营方结算，再重新提交订单。
code-endpoint-unknown = 推送端点不存在，请核对 endpoint_id，并确认它属于正式环境还是测试环境。
code-endpoint-refused = 不能这样创建或修改推送端点。
code-event-unknown = 该推送端点没有这个事件，请使用其推送记录中的 event_id。
code-not-found = 请求的路径不存在，请检查路径及其前缀。
code-method-not-allowed = 该路径不支持此请求方法，可用的方法请见响应头 Allow。
code-request-timeout = 请求未在规定时间内发送完毕，请一次性完整发送。
code-payload-too-large = 请求内容过大，请分批发送。
code-unsupported-media-type = 请求体未声明为 JSON，请设置 Content-Type: application/json。
code-rate-limited = 请求过于频繁，请按响应头 Retry-After 指示的时间等待后重试。
code-unavailable = 商城暂时无法响应，请在响应头 Retry-After 指示的时间之后重试。
code-internal = 商城内部出错，与您的请求无关。请稍后重试；如再次出现，请将 x-request-id 告知运营方。

# What is wrong with one field.

problem-missing = 缺少 { $field } 或其值为空，请补充。
problem-wrong-type = { $field } 应为字符串（也可以是数字）。
problem-too-long = { $field } 过长，最多 { $max } 个字符。
problem-not-printable = { $field } 含有换行、制表符等控制字符，请去掉。
problem-not-partner-code = { $field } 不是有效的合作伙伴编码：应为 1 到 32 位字母、数字、连字符或下划线。
problem-not-version = { $field } 不是本接口支持的版本，请使用 3.0。
problem-not-iccid = { $field } 不是有效的 SIM 卡号：应为 18 到 22 位数字。
problem-bad-check-digit = { $field } 的校验位不正确，请检查卡号是否有误。
problem-not-count = { $field } 应为 { $min } 到 { $max } 之间的整数。
problem-not-decimal = { $field } 应为金额，例如 12.36：只含数字和最多一个小数点，不带正负号或千位分隔符。
problem-not-in-currency = { $field } 的小数位数超出该币种的规定，或数值过大。
problem-not-currency = { $field } 不是有效的币种代码，请使用 ISO 4217 三位字母代码，例如 USD。
problem-not-flag = { $field } 只能是 0 或 1。
problem-not-word = { $field } 只能是以下之一：{ $words }。
problem-not-list = { $field } 应为字符串数组，例如 ["89852420180910340793"]。
problem-too-many-items = { $field } 的条目过多，最多 { $max } 条，其余的请另行提交。
problem-not-date-time = { $field } 应为真实存在的日期和时间，格式如 2022-06-07 15:10:35。
problem-not-epoch-millis = 使用 hmac-sha256 签名时，{ $field } 应为毫秒时间戳，例如 1654585746965。
problem-not-trade-type = 使用 hmac-sha256 签名时，{ $field } 应为所调用接口的名称。
problem-not-the-product = { $field } 不等于 payUnit 与 orderPeriod 的乘积，请核对这三个字段。
problem-none-of-them = { $field } 以及可替代它的字段均未提供，请至少提供其中一个。
problem-not-millis = { $field } 应为毫秒时间戳，例如 1654585746965。
problem-not-cursor = { $field } 无效，请使用上一页返回的 next_cursor；如需从头开始，请不要传此参数。
problem-not-key = 请求头 { $field } 只能出现一次，且应为 1 到 { $max } 个可见的 ASCII 字符，不含空格。

# Why a signature does not match.

hint-empty-dropped = 签名原文漏掉了值为空字符串的字段，应予保留。
hint-null-kept = 签名原文包含了值为 null 的字段，应予去除。
hint-path-dropped = 签名原文漏掉了路径参数，应一并加入。
hint-keys-unsorted = 签名原文的键没有按字节升序排列，请先排序。
hint-spaces = 签名原文的各部分之间有空格，应使用紧凑的 JSON。
hint-non-ascii-escaped = 签名原文对非 ASCII 字符做了转义（如 \u6b27），应直接使用 UTF-8 原字符。
hint-slash-escaped = 签名原文对斜杠做了转义，应写作 /，而不是 \/。
hint-html-escaped = 签名原文对 <、> 和 & 做了转义（如 \u0026），应直接写出这些字符。
hint-trailing-newline = 签名原文末尾多了一个换行符，应只对原文签名（可用 printf 或 echo -n）。
hint-number-as-string = 请求中的数字在签名时被当作字符串，应与发送的内容一致，不加引号。
hint-string-as-number = 请求中的字符串在签名时被当作数字，应与发送的内容一致，保留引号。
hint-upper-case-hex = 签名使用了大写字母，应使用小写的十六进制。
hint-wrong-length = 签名应为 32 位（md5、md5-key）或 64 位（hmac-sha256）十六进制数字，当前长度不符。
hint-key-missing = 签名时没有使用密钥，请使用合作伙伴的密钥。
hint-key-retired = 签名使用了已失效的密钥，请换用当前有效的密钥。
hint-key-of-other-mode = 签名使用了另一个环境的密钥，正式环境和测试环境的密钥各不相同。
hint-none = 常见错误都不能解释这个签名：可能是签名后又修改了字段，或者使用了未知的密钥。请将 signContent 与您实际签名的内容进行比对。
hint-stale-time = tradeTime 与服务器时钟相差 { $seconds } 秒，请校准调用方时钟。
hint-too-large = 签名原文过大，无法逐一排查常见错误。请将 signContent 与您实际签名的内容进行比对。
hint-busy = 当前正在排查的签名过多。请将 signContent 与您实际签名的内容进行比对，或稍后重试。

# An order's outcome that contradicts a known one.

conflict-outcome = 该订单此前已上报过另一种支付结果，两者只能有一个为真。请先查询订单；如先前上报有误，请联系运营商。

# An operation that is to be retried before it has ended.

conflict-still-runs = 该操作仍在进行，请查询其结果，待结束后再重试。

# Why an order failed or waits for a person.

failure-payment-failed = 合作伙伴上报支付失败。
failure-carrier-unclear = 未收到网络侧的应答，也无法查询结果，由运营商人工处理。
failure-carrier-overdue = 网络侧未在规定时间内完成，由运营商人工处理。
failure-provisioning-failed = 套餐未能开通到 SIM 卡，由运营商人工处理。

# Why a push endpoint cannot be made or changed.

endpoint-too-many = 该合作伙伴的推送端点已达上限 { $max } 个，请先删除一个。
endpoint-two-keys = 该推送端点已有两个密钥在签名，请等旧密钥失效后再轮换；下次轮换可将 overlap_hours 设为 0。
endpoint-listener-url = 监听端点没有 URL，其事件由调用方取走。请不要传 url，或新建类型为 url 的端点。
endpoint-no-listener = 只有监听端点的事件可以取走；该推送端点有 URL，事件会发送到那里。
endpoint-url-length = 缺少 url，或其长度超过 2048 个字符。
endpoint-url-characters = url 含有空格、反斜杠或其他必须进行百分号编码的字符。
endpoint-url-ascii = url 不是 ASCII 文本，请将主机名写成 Punycode（xn--…），其余部分进行百分号编码。
endpoint-url-scheme = url 必须以 https:// 开头；测试环境也可以用 http://。
endpoint-url-user = url 中含有用户名或密码。推送带有签名，无需它们，请去掉。
endpoint-url-fragment = url 中含有 #，其后的内容不会发送，请去掉。
endpoint-url-port = url 中的端口不允许使用，请使用 443；测试环境也可以用 80。
endpoint-url-host = url 中的主机不是由字母、数字和连字符组成并以点分隔的名称，也不是普通写法的 IP 地址。
endpoint-url-inside = url 中的主机不是公网主机，推送不会发往内部网络。
endpoint-url-spelling = url 不是规范写法，请按浏览器显示的形式书写，路径中不要有多余的点和转义。

# What became of a SIM of an operation on a group.

result-sim-unknown = 该合作伙伴名下没有这张 SIM 卡。
result-sim-not-sellable = 这张 SIM 卡已终止或已停机。
result-sim-not-for-group = 这张 SIM 卡与该组套餐不属于同一网络。
result-already-in-group = 这张 SIM 卡此前已在组内。
result-sim-in-other-group = 这张 SIM 卡已在其他组内，请先将其移出。
result-sim-not-in-group = 这张 SIM 卡不在组内。
result-sim-in-review = 先前的操作未能确定这张 SIM 卡是否在组内，由运营商人工处理。
result-group-full = 该组已满。
result-group-ended = 该组的套餐已结束。
result-sim-busy = 这张 SIM 卡有订单或其他操作正在处理。
result-carrier-busy = 网络侧繁忙，稍后将自动重试。
result-carrier-working = 网络侧正在处理。
result-carrier-unavailable = 网络侧暂时无法连接，稍后将自动重试。
result-carrier-refused = 网络侧拒绝了该操作。
result-carrier-refused-with = 网络侧拒绝了该操作：{ $detail }。
result-carrier-did-not = 网络侧称已完成，但实际并未执行。
result-carrier-unclear = 无法确定网络侧是否已执行，由运营商人工处理。
result-cancelled = 操作在轮到这张 SIM 卡之前已被取消。
result-found-done = 经运营商核实，操作已完成。
result-found-undone = 经运营商核实，操作未完成。

# Why a request has no parameters that could be read.

bad-utf8 = 请求体不是 UTF-8 文本，请以 UTF-8 发送未压缩的 JSON。
bad-json = 请求体不是有效的 JSON：第 { $line } 行第 { $column } 列有误。请使用不带 BOM 的 UTF-8。
bad-escape = 请求体中有不代表任何字符的转义（如单独的代理项 \ud800），请发送完整的字符。
bad-body-object = 请求体必须是 JSON 对象，即用花括号括起来的参数。
bad-query = 查询字符串不是经过百分号编码的 UTF-8，请对参数名和参数值进行编码。
bad-duplicate = 参数 { $name } 重复出现，在查询字符串和请求体中总共只能出现一次。
bad-too-deep = 请求嵌套过深，数组和对象最多 { $max } 层。
bad-too-many = 请求内容过多：最多 { $max } 个参数，所有取值合计最多 { $values } 个。
