// Texts: every word of the page but the sentences of the steps, in English and in Chinese.

export const LANGUAGES = { en: "English", zh: "中文" };

let language = "en";

export const spoken = () => language;

export function speak(chosen) {
  language = chosen;
}

// A text of the page in the language that is spoken, with its {places} filled in.
export function say(key, values = {}) {
  return filled(TEXTS[key][language === "en" ? 0 : 1], values);
}

// The one of two texts that is in the language that is spoken.
export const either = (en, zh) => (language === "en" ? en : zh);

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// What was done to some bytes, as provenance says it in English.
export const howTold = (how) => (language === "en" ? how : how.split(", ").map((each) => HOWS[each] ?? each).join("，"));

const HOWS = {
  "percent-decoded": "百分号解码",
  "each byte as the character of its number (PEP 3333)": "每个字节作为同编号的字符（PEP 3333）",
  "as UTF-8": "按 UTF-8",
  "then converted": "再经转换",
  "its name in lower case": "名称转为小写",
  "+ as a space": "+ 作为空格",
};

// "1 byte", "2,000 bytes"; 2,000 个字节.
export function counted(number, one, chinese, many = `${one}s`) {
  const digits = number.toLocaleString("en");
  return either(`${digits} ${number === 1 ? one : many}`, `${digits} ${chinese}`);
}

export const bytes = (number) => counted(number, "byte", "个字节");

const TEXTS = {
  title: ["microweb explorer", "microweb 探索器"],
  tagline: [
    "One request, from the wire to your handler and back. The line is where the server ends and the framework begins.",
    "一个请求，从线路到你的处理函数，再回来。那条线就是服务器结束、框架开始的地方。",
  ],
  language: ["Language", "语言"],

  // --- what is asked ---
  ask: ["The request", "请求"],
  ready: ["Ready requests; a click sends one", "现成的请求，点击即发送"],
  method: ["Method", "方法"],
  target: ["Path and query", "路径与查询"],
  headers: ["Headers, one a line", "请求头，每行一个"],
  body: ["Body", "请求体"],
  pieces: [
    "line by line: as chunks, or as messages of a WebSocket",
    "逐行发送：作为分块，或作为 WebSocket 消息",
  ],
  leave: ["leave as soon as the answer's body begins", "响应体一开始就断开"],
  send: ["Send", "发送"],
  sending: ["Sending …", "正在发送……"],
  "sending.long": [
    "It is on its way. A stream takes as long as it takes, and a hang until the time is up.",
    "请求正在路上。流式响应要等它流完；卡住的请求要等到超时。",
  ],
  unreachable: [
    "The explorer does not answer. Is `microweb explore` still running?",
    "探索器没有回应。`microweb explore` 还在运行吗？",
  ],
  failed: ["The explorer itself has failed, with status {status}: its terminal says why.", "探索器自己出错了，状态码 {status}：原因见它的终端。"],
  refused: ["This cannot be sent: {why}", "无法发送：{why}"],

  "scenario.text": ["text", "文本"],
  "scenario.path": ["path parameter", "路径参数"],
  "scenario.form": ["form", "表单"],
  "scenario.json": ["JSON", "JSON"],
  "scenario.stream": ["stream", "流式响应"],
  "scenario.chunked": ["chunked upload", "分块上传"],
  "scenario.head": ["HEAD", "HEAD"],
  "scenario.missing": ["404", "404"],
  "scenario.crash": ["crash before the first byte", "首字节前崩溃"],
  "scenario.halfway": ["crash after the first byte", "首字节后崩溃"],
  "scenario.continue": ["100-continue", "100-continue"],
  "scenario.leave": ["client leaves", "客户端中途离开"],
  "scenario.websocket": ["WebSocket", "WebSocket"],

  // --- where nothing is to be seen yet ---
  "empty.head": ["Send a request, and watch it cross.", "发送一个请求，看它如何越过边界。"],
  "empty.wsgi": [
    "WSGI (PEP 3333) is a call: the server calls app(environ, start_response), and a thread is in it until the answer is made.",
    "WSGI（PEP 3333）是一次调用：服务器调用 app(environ, start_response)，响应做好之前，一个线程一直在其中。",
  ],
  "empty.asgi": [
    "ASGI is a conversation: the server awaits app(scope, receive, send), and the two exchange messages; whoever waits gives the loop to others.",
    "ASGI 是一场对话：服务器 await app(scope, receive, send)，双方互相传递消息；谁在等待，谁就把事件循环让给别人。",
  ],
  "empty.roles": [
    "A server (gunicorn, uvicorn) has the sockets and speaks HTTP. A framework (Flask, FastAPI, microweb) has the routes and your code. These two calls are all that they know of each other.",
    "服务器（gunicorn、uvicorn）掌管套接字，会说 HTTP；框架（Flask、FastAPI、microweb）掌管路由和你的代码。这两种调用就是它们彼此所知的一切。",
  ],
  "nothing": ["No request was seen here.", "这里没有看到请求。"],
  others: ["{n} seen here, and not drawn", "这里还看到 {n}，没有画出"],

  // --- the picture ---
  picture: ["The picture", "图"],
  "picture.of": [
    "{protocol}: {events} on five bands, from the wire to the handler. The story below tells the same in words.",
    "{protocol}：{events}，分布在从线路到处理函数的五条带上。下面的文字讲的是同一件事。",
  ],
  events: ["events", "个事件"],
  wire: ["wire", "线路"],
  server: ["server", "服务器"],
  seam: ["the seam", "边界"],
  framework: ["framework", "框架"],
  handler: ["your handler", "你的处理函数"],
  dark: ["{framework} does not tell of its steps: inside is dark", "{framework} 不报告自己的步骤：内部不可见"],
  "not.reached": ["the application was not called", "应用没有被调用"],
  "key.call": ["call", "调用"],
  "key.return": ["return", "返回"],
  "key.raise": ["an exception", "异常"],
  "key.blocked": ["a thread is held", "线程被占住"],
  "key.suspended": ["a coroutine waits", "协程在等待"],
  "key.runs": ["your handler runs", "你的处理函数在运行"],
  "time.note": [
    "A column is a step, not a time. The bytes are seen by a relay between client and server, a moment late: an arrow on the wire may stand a few steps after the call that sent it. Host names the relay's port.",
    "每一列是一步，而不是一段时间。字节由客户端与服务器之间的中继看到，会稍晚一点：线路上的箭头可能比发出它的调用晚几步。Host 里是中继的端口。",
  ],
  "own.word": ["microweb's own word, in no specification", "microweb 自己的说法，不在任何规范中"],
  masked: ["(masked: --secrets shows it)", "（已遮盖：--secrets 可显示）"],

  // --- steps ---
  step: ["Step {step} of {steps}", "第 {step} 步，共 {steps} 步"],
  steps: ["Steps", "步骤"],
  "step.first": ["First step", "第一步"],
  "step.back": ["One step back", "后退一步"],
  "step.on": ["One step on", "前进一步"],
  "step.last": ["Last step", "最后一步"],
  play: ["Play", "播放"],
  pause: ["Pause", "暂停"],
  keys: ["Keys: ← → step, Home End, space plays", "键盘：← → 单步，Home End 首尾，空格播放"],
  "no.source": ["no line of Python: this happened on the connection", "没有对应的 Python 代码：这发生在连接上"],
  "unknown.source": ["the line is not known", "不知道是哪一行"],
  "whose.server": ["the server's", "服务器的代码"],
  "whose.library": ["a library's", "库的代码"],
  "whose.framework": ["the framework's", "框架的代码"],
  "whose.yours": ["yours", "你的代码"],
  story: ["The story in words", "用文字讲述"],
  keep: ["Keep this recording: a page of its own, in one file", "保存这次记录：单个文件的独立页面"],
  trouble: ["What the trace alone does not tell", "记录中看不到的情况"],
  "trouble.cut": ["The answer of {server} was cut short{why}.", "{server} 的响应中途断了{why}。"],
  "trouble.late": [
    "{server} had not answered in full when the time was up: see --timeout.",
    "时间到了，{server} 还没有答完：见 --timeout。",
  ],
  "trouble.refused": ["{server} took no connection{why}.", "{server} 没有接受连接{why}。"],
  "trouble.hung": [
    "The application has not come to an end: {server} is stopped, and started again for the next request.",
    "应用没有结束：{server} 被停掉，下一个请求之前会重新启动。",
  ],
  "trouble.down": ["{server} did not start{why}", "{server} 没有启动{why}"],
  log: ["What the server wrote", "服务器写下的日志"],

  // --- the bytes ---
  carried: ["Follow the bytes", "追踪字节"],
  "carried.note": [
    "Point at anything, or tab to it: the same bytes light up everywhere. Grey is what nobody on the other side of the line has claimed: the server kept, or added, that.",
    "指向任何东西，或用 Tab 移到它上面：同样的字节会在各处亮起。灰色部分没有越过边界：那是服务器自己留着的，或添上的。",
  ],
  request: ["request", "请求"],
  response: ["response", "响应"],
  more: ["{n} more", "另有 {n}"],
  "more.characters": ["... {n} more characters", "……另有 {n} 个字符"],
  "more.bytes": ["... {n} more bytes", "……另有 {n} 个字节"],
  "servers.own": ["{n} the server made or was told", "另有 {n} 项由服务器给出"],
  "connection.from": ["the client, as the server sees it", "服务器眼中的客户端"],
  "handler.in": ["runs in", "运行在"],
  "runs.in": ["runs the application in", "运行应用的位置"],
  "kept": ["of the request, kept to itself", "请求中没有交给应用的"],
  "added": ["to the answer, added by itself", "自己添到响应上的"],
  "nothing.kept": ["nothing", "无"],
  "no.answer": ["the application gave none", "应用没有给出"],
  "reads": ["what was read, or received", "读取或收到的内容"],
  "chunks": ["the body, as it was handed over", "响应体（交出的情况）"],
  "lifespan": ["before and after all requests", "所有请求之前与之后"],
  "returns": ["returns", "返回"],
  "raises": ["raises", "抛出"],

  // --- the same and the different ---
  compared: ["The same, and the different", "相同与不同"],
  "row.server": ["server", "服务器"],
  "row.call": ["how the application is called", "应用如何被调用"],
  "row.path": ["the path", "路径"],
  "row.query": ["the query", "查询字符串"],
  "row.headers": ["the headers", "请求头"],
  "row.body": ["the body is taken by", "请求体如何读取"],
  "row.start": ["the answer begins with", "响应的开头"],
  "row.chunks": ["its body goes over in", "响应体如何交付"],
  "row.handler": ["the handler runs in", "处理函数运行在"],
  "row.waits": ["while somebody waits", "等待期间"],
  "row.calls": ["calls over the seam", "越过边界的调用"],
  "row.end": ["at the end", "结束时"],
  "row.status": ["status on the wire", "线路上的状态码"],
  "row.bytes": ["body on the wire", "线路上的响应体"],
  same: ["the same", "相同"],
  different: ["different", "不同"],
  "waits.wsgi": ["a thread stands still", "一个线程停在那里"],
  "waits.asgi": ["a coroutine is suspended, and the loop goes on; while code computes, the loop stands still", "协程被挂起，事件循环继续；代码计算时，事件循环停住"],
  "calls.told": ["{ins} by the server, {outs} by the application", "服务器 {ins} 次，应用 {outs} 次"],
  "none": ["none", "无"],
  "not.told": ["not told", "没有报告"],
  "at.least": ["{text}, at least", "至少 {text}"],
  frames: ["{n}, as frames", "{n}，以帧的形式"],
  "not.called": ["not called", "未被调用"],
  "ends.close": ["close() on the iterable", "对可迭代对象调用 close()"],
  "ends.iterable": ["the iterable is exhausted", "可迭代对象耗尽"],
  "ends.coroutine": ["the coroutine returns", "协程返回"],
  "ends.raise": ["{type} left the application", "{type} 逃出了应用"],
  "ends.cut": ["not recorded", "没有记录到"],
  "ends.open": ["it had not ended", "还没有结束"],
};
