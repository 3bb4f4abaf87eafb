// Sentences: one for each step, in both languages, with the name that the specification uses.
//
// A sentence says only what is so in every exchange of its kind, or what this one has shown.

import { ownerOf } from "explorer/source";
import { bytes, counted, either, say, spoken } from "explorer/texts";
import { bytesOf, chunkOf, escaped, isSamePlace, pairsOf, plain, sizeOf, written } from "explorer/trace";

// What there is to say of a step: { text, name, clause }.
export function sentenceOf(half, event) {
  const told = SENTENCES[event.kind]?.(half, event) ?? [event.kind, event.kind];
  const [name, clause] = namedBy(half, event);
  return { text: escaped(spoken() === "en" ? told[0] : told[1]), name: escaped(name), clause };
}

// --- the names, and where they are specified ----------------------------------------------------

const PEP = "PEP 3333";
const ASGI_HTTP = "ASGI, HTTP & WebSocket";

const NAMES = {
  "app.wsgi": ["app(environ, start_response)", `${PEP}, The Application/Framework Side`],
  "app.asgi": ["await app(scope, receive, send)", "ASGI 3.0, Applications"],
  start_response: ["start_response(status, response_headers)", `${PEP}, The start_response() Callable`],
  write: ["write(body_data)", `${PEP}, The write() Callable`],
  "wsgi.input": ["environ['wsgi.input']", `${PEP}, Input and Error Streams`],
  "wsgi.errors": ["environ['wsgi.errors']", `${PEP}, Input and Error Streams`],
  "wsgi.file_wrapper": ["environ['wsgi.file_wrapper']", `${PEP}, Optional Platform-Specific File Handling`],
  iter: ["iter(iterable)", `${PEP}, The Server/Gateway Side`],
  next: ["next(iterator)", `${PEP}, The Server/Gateway Side`],
  close: ["iterable.close()", `${PEP}, Specification Details`],
  receive: ["await receive()", "ASGI 3.0, Applications"],
  send: ["await send(message)", "ASGI 3.0, Applications"],
};
const ON_THE_WIRE = {
  connect: ["accept()", "socket"],
  bytes: ["HTTP/1.1", "RFC 9112"],
  eof: ["FIN", "RFC 9293, 3.6"],
  reset: ["RST", "RFC 9293, 3.5.3"],
};

function namedBy(half, event) {
  if (event.kind === "bytes") {
    return has(event, "opaque") && !has(event, "status") ? ["WebSocket frames", "RFC 6455, 5"] : ON_THE_WIRE.bytes;
  }
  if (ON_THE_WIRE[event.kind]) return ON_THE_WIRE[event.kind];
  const message = event.data.message?.type;
  if (message) return [message, message.startsWith("lifespan") ? "ASGI, Lifespan" : ASGI_HTTP];
  const base = event.base === "app" ? `app.${half.run.protocol}` : event.base;
  return NAMES[base] ?? [event.kind, event.side === "framework" ? say("own.word") : ""];
}

// --- phrases ------------------------------------------------------------------------------------

// `hello` of `site.<locals>.hello (home.py:12)`.
export const short = (name) => plain(name).split(" (")[0].split(".").at(-1);

export const kindOf = (event) => plain(event.data.type).split(".").at(-1);

const failed = (event) => {
  const message = plain(event.data.message);
  return message ? `${kindOf(event)}: ${message}` : kindOf(event);
};

export function argumentsOf(event) {
  const given = event.data.arguments;
  if (!given) return "...";
  if (Array.isArray(given)) return given.map(written).join(", ");
  return Object.entries(given).map(([name, value]) => `${name}=${written(value)}`).join(", ");
}

// A handler with what it is called with.
export const callOf = (half, event) =>
  `${short(event.data.handler)}(${[half.isWebSocket ? "ws" : "request", argumentsOf(event)].filter(Boolean).join(", ")})`;

// Who runs something: the task, or the thread.
export function placeOf(event) {
  const { thread, task } = event?.where ?? {};
  if (!thread) return "?";
  return task
    ? either(`${task}, on the loop of ${thread}`, `事件循环（${thread}）上的 ${task}`)
    : either(`thread ${thread}`, `线程 ${thread}`);
}

// How many of an event's bytes are of the body, and not of what frames it.
const bodyIn = (event) => event.data.parts.filter(([name]) => name === "body")
  .reduce((sum, [, start, end]) => sum + end - start, 0);

const has = (event, ...names) => event.data.parts.some(([name]) => names.includes(name));

// Whether anything that a client would see has been handed to the server before an event.
function isBegun(half, event) {
  return half.events.slice(0, event.index).some((each) => {
    const chunk = chunkOf(each);
    const type = each.data.message?.type;
    return (chunk !== null && sizeOf(chunk) > 0)
      || (each.kind === "send.call" && (type === "http.response.start" || type === "websocket.accept"));
  });
}

// Whether all of the answer has been handed over before an event.
const isWhole = (half, event) => half.events.slice(0, event.index).some((each) =>
  each.kind === "send.call" && each.data.message?.type?.endsWith(".body") && !each.data.message.more_body);

const isAccepted = (half, event) => half.events.slice(0, event.index)
  .some((each) => each.data.message?.type === "websocket.accept");

// --- the sentences ------------------------------------------------------------------------------

const SENTENCES = {
  connect: ({ server }, { data }) => [
    `A client connects to ${server}, from port ${data.port}. A connection is a socket; what goes over it is bytes, and nothing more.`,
    `客户端从端口 ${data.port} 连接到 ${server}。一个连接就是一个套接字，上面传的只有字节。`,
  ],
  bytes: (half, event) => (event.direction === "in" ? arrived(half, event) : left(half, event)),
  eof: ({ server }, { direction }) => (direction === "in"
    ? ["The client sends no more on this connection.", "客户端在这个连接上不再发送。"]
    : [`${server} sends no more on this connection.`, `${server} 在这个连接上不再发送。`]),
  reset: ({ server }, { direction }) => (direction === "in"
    ? ["The client has torn the connection: it is gone.", "客户端断开了连接。"]
    : [`${server} tears the connection.`, `${server} 切断了连接。`]),

  load: ({ server }) => [`${server} has imported the application.`, `${server} 已导入应用。`],
  "app.call": (half) => called(half),
  "app.return": (half, event) => returned(half, event),
  "app.raise": (half, event) => escapedTo(half, event),

  // --- WSGI ---
  "start_response.call": ({ server }, { data }) => {
    const headers = pairsOf(data.headers).length;
    const [more, zh] = data.exc_info
      ? [` It does so because of an error (exc_info: ${plain(data.exc_info)}).`, `这是因为出了错（exc_info：${plain(data.exc_info)}）。`]
      : ["", ""];
    return [
      `The application says ${plain(data.status)} and ${counted(headers, "header", "个响应头")}. ${server} must keep both until the first chunk that is not empty, or the end.${more}`,
      `应用给出 ${plain(data.status)} 和 ${counted(headers, "", "个响应头")}。在第一个非空的块到来或响应结束之前，${server} 必须先把它们留着。${zh}`,
    ];
  },
  "start_response.return": ({ server }) => [
    `${server} has noted it. What start_response returns is write(), for older code that cannot wait to be iterated over; PEP 3333 advises new code against it.`,
    `${server} 记下了。start_response 返回的是 write()，供无法等服务器来迭代、只能主动写出的旧代码使用，PEP 3333 不建议新代码使用。`,
  ],
  "start_response.raise": (half, event) => [
    `start_response refuses: ${failed(event)}.`, `start_response 拒绝了：${failed(event)}。`,
  ],
  "write.call": (_, { data }) => [
    `The application hands over ${bytes(sizeOf(data.bytes))} with write(), without waiting to be iterated over.`,
    `应用用 write() 交出 ${bytes(sizeOf(data.bytes))}，不等着被迭代。`,
  ],
  "write.return": ({ server }) => [`${server} has taken them.`, `${server} 收下了。`],
  "write.raise": (half, event) => [`write() fails: ${failed(event)}.`, `write() 失败：${failed(event)}。`],
  "wsgi.input.call": (_, event) => [
    `The application reads the body: ${event.data.method}(${argumentsOf(event)}). Its thread stands still until the bytes are there.`,
    `应用读取请求体：${event.data.method}(${argumentsOf(event)})。字节到来之前，它的线程停在这里。`,
  ],
  "wsgi.input.return": (_, { data }) => (sizeOf(data.bytes)
    ? [`The application is handed ${bytes(sizeOf(data.bytes))} of the body, and the thread goes on.`,
      `应用得到请求体的 ${bytes(sizeOf(data.bytes))}，线程继续。`]
    : ["No bytes: the body is at its end.", "没有字节：请求体已读完。"]),
  "wsgi.input.raise": (half, event) => [`Reading fails: ${failed(event)}.`, `读取失败：${failed(event)}。`],
  "wsgi.errors.call": ({ server }, { data }) => (data.method === "flush"
    ? ["The application flushes the error stream.", "应用刷新错误流。"]
    : [`The application writes to the error stream; where that leads is ${server}'s business.`,
      `应用向错误流写入；写到哪里去是 ${server} 的事。`]),
  "wsgi.file_wrapper.call": ({ server }) => [
    `The application hands ${server} an open file, to be sent in the fastest way that it has.`,
    `应用把一个打开的文件交给 ${server}，让它用自己最快的办法发送。`,
  ],
  "wsgi.file_wrapper.return": () => ["It gets an iterable for it.", "它得到一个代表该文件的可迭代对象。"],
  "wsgi.file_wrapper.raise": (half, event) => [`That fails: ${failed(event)}.`, `失败：${failed(event)}。`],
  "iter.call": ({ server }) => [
    `${server} asks what was returned for an iterator.`, `${server} 向返回的对象要一个迭代器。`,
  ],
  "iter.return": (_, { data }) => [`It is a ${plain(data.type)}.`, `它是一个 ${plain(data.type)}。`],
  "iter.raise": (half, event) => escapedTo(half, event),
  "next.call": ({ server }) => [
    `${server} asks for the next chunk of the body; until it is there, its thread is in the application.`,
    `${server} 索取响应体的下一块；在它到来之前，线程一直在应用里。`,
  ],
  "next.return": (_, { data }) => (sizeOf(data.bytes)
    ? [`A chunk of ${bytes(sizeOf(data.bytes))}.`, `得到一块数据，${bytes(sizeOf(data.bytes))}。`]
    : ["An empty chunk: there is nothing to send.", "一个空块：没有可发送的。"]),
  "next.raise": (half, event) => (kindOf(event) === "StopIteration"
    ? ["StopIteration: that was all of the body.", "StopIteration：响应体到此为止。"]
    : escapedTo(half, event)),
  "close.call": ({ server }) => [
    `${server} calls close(), as it must however the request has ended: the application can tidy up.`,
    `${server} 调用 close()——无论请求怎样结束都必须这样做：应用可以收尾了。`,
  ],
  "close.return": () => ["The application has tidied up.", "应用收尾完毕。"],
  "close.raise": (half, event) => escapedTo(half, event),

  // --- ASGI ---
  "receive.call": (half, event) => (half.call && !isSamePlace(half.call, event) ? [
    `Another task of the application's (${placeOf(event)}) awaits the next message from the client. Until there is one it is suspended; the others go on.`,
    `应用的另一个任务（${placeOf(event)}）在 await 客户端的下一条消息。消息到来之前它被挂起，其他任务继续。`,
  ] : [
    "The application awaits the next message from the client. Until there is one, its coroutine is suspended, and the loop is free for others.",
    "应用 await 来自客户端的下一条消息。消息到来之前，协程被挂起，事件循环可以去服务别人。",
  ]),
  "receive.return": (half, event) => received(half, event),
  "receive.raise": (half, event) => (kindOf(event) === "CancelledError"
    ? ["Nobody waits for it any longer: the await is cancelled.", "不再等了：这个 await 被取消。"]
    : [`receive() fails: ${failed(event)}.`, `receive() 失败：${failed(event)}。`]),
  "send.call": (half, event) => sent(half, event),
  "send.return": ({ server }) => [
    `${server} has taken the message, and the coroutine goes on. (With a client that reads slowly this is where it waits.)`,
    `${server} 收下了消息，协程继续。（客户端读得慢时，等待就发生在这里。）`,
  ],
  "send.raise": (half, event) => [
    `send() fails: ${failed(event)}.`, `send() 失败：${failed(event)}。`,
  ],

  // --- in the framework ---
  request: (half) => [
    `A Request is made of the ${half.isWsgi ? "environ" : "scope"}. From here on routes, layers and your handler see a Request, the same for both protocols.`,
    `由 ${half.isWsgi ? "environ" : "scope"} 做成一个 Request。从这里起，路由、中间件和处理函数看到的都是同样的 Request。`,
  ],
  "layer.call": (_, { data }) => [
    `The request goes in through the layer ${short(data.layer)}.`, `请求向内穿过中间件 ${short(data.layer)}。`,
  ],
  "layer.return": (_, { data }) => [
    `The response comes out through ${short(data.layer)}, with status ${data.status}.`,
    `响应向外穿过 ${short(data.layer)}，状态码 ${data.status}。`,
  ],
  "layer.raise": (half, event) => (event.data.status === null
    ? [`${failed(event)} passes out through ${short(event.data.layer)}.`,
      `${failed(event)} 向外穿过 ${short(event.data.layer)}。`]
    : [`${failed(event)} comes out of ${short(event.data.layer)}, and becomes an answer there: ${event.data.status}.`,
      `${failed(event)} 从 ${short(event.data.layer)} 出来，在那里变成响应：${event.data.status}。`]),
  match: (half, { data }) => matched(half, data),
  body: (_, { data }) => (data.bytes === null
    ? ["The form was parsed as it arrived, and is whole.", "表单边到边解析，已经完整。"]
    : [`The body is there as a whole, before the handler is called: ${bytes(sizeOf(data.bytes))}.`,
      `在调用处理函数之前，请求体已经完整到达：${bytes(sizeOf(data.bytes))}。`]),
  "handler.call": (half, event) => handled(half, event),
  "handler.return": (_, { data }) => [
    `Your handler returns ${"value" in data ? shortened(written(data.value)) : `a ${plain(data.type)}`}.`,
    `你的处理函数返回 ${"value" in data ? shortened(written(data.value)) : `一个 ${plain(data.type)}`}。`,
  ],
  "handler.raise": (_, event) => [
    `Your handler raises ${failed(event)}.`, `你的处理函数抛出 ${failed(event)}。`,
  ],
  response: (half, { data }) => (data.bytes === null
    ? [`${becomes(half)[0]}: ${data.status}, with a body that is made only while it is sent: what makes it runs each time that a chunk is asked for.`,
      `${becomes(half)[1]}：${data.status}，响应体边发送边生成：每次索取一块，生成它的代码才运行一次。`]
    : [`${becomes(half)[0]}: ${data.status}, with a body of ${bytes(sizeOf(data.bytes))}. Now it has to be said in the protocol's own words.`,
      `${becomes(half)[1]}：${data.status}，响应体 ${bytes(sizeOf(data.bytes))}。接下来要转换成协议规定的形式。`]),
  stack: () => ["The call stack, at a function of yours.", "你的一个函数处的调用栈。"],
  cut: (_, { data }) => [`Of the rest nothing is shown: ${plain(data.why)}.`, `其余部分没有显示：${plain(data.why)}。`],
};

export const shortened = (text) => (text.length > 160 ? `${text.slice(0, 159)}…` : text);

// What a Response was made of.
const becomes = (half) => (half.first("handler.return")
  ? ["What the handler returned has become a Response", "返回值被转换成一个 Response"]
  : half.first("handler.raise")
    ? ["Nothing has caught that, or turned it into an answer, but the framework: it makes a Response", "没有别的代码处理这个异常，由框架做出一个 Response"]
    : ["The framework makes a Response by itself", "框架自己做出一个 Response"]);

function arrived(half, event) {
  const size = bytes(event.data.bytes.size);
  if (has(event, "opaque")) {
    return [
      `${size} arrive: frames of a WebSocket, masked as a client's must be. ${half.server} takes them apart.`,
      `到达 ${size}：WebSocket 帧，按规定客户端的帧都经过掩码。由 ${half.server} 拆解。`,
    ];
  }
  if (has(event, "method")) {
    const line = bytesOf(event.data.bytes).split("\r\n")[0];
    const [more, zh] = has(event, "unreadable")
      ? [" What stands after the head is no body that could be told from what follows it.", " 头部之后的内容无法确定到哪里为止。"]
      : ["", ""];
    const [told, zhTold] = half.call === null ? [".", "。"]
      : ["; the application is told what they mean, in the words of its protocol.", "；应用得到的是按协议规定表示的结果。"];
    return [
      `${size} arrive, beginning with "${shortened(line)}". ${half.server} reads them${told}${more}`,
      `到达 ${size}，开头是“${shortened(line)}”。由 ${half.server} 解析${zhTold}${zh}`,
    ];
  }
  if (has(event, "unreadable")) {
    return [`${size} arrive that are no HTTP/1.1.`, `到达 ${size}，不是 HTTP/1.1。`];
  }
  if (!has(event, "body", "chunk.size")) return [`${size} more arrive.`, `又到达 ${size}。`];
  const [body, zh] = ofBody(event, "请求体");
  return [`${size} more arrive, ${body}.`, `又到达 ${size}，${zh}。`];
}

// Which of the bytes are of a body, and which only frame it (RFC 9112, 7.1).
function ofBody(event, chinese) {
  const body = bodyIn(event);
  if (body === event.data.bytes.size) return ["of the body", `属于${chinese}`];
  return body
    ? [`${bytes(body)} of them of the body, the rest its framing in chunks`, `其中 ${bytes(body)}属于${chinese}，其余是分块的标记`]
    : ["the end of a body in chunks", `是分块${chinese}的结尾`];
}

function left(half, event) {
  const size = bytes(event.data.bytes.size);
  const [line] = bytesOf(event.data.bytes).split("\r\n");
  if (has(event, "opaque") && !has(event, "status")) {
    return [`${half.server} sends ${size}: frames of a WebSocket.`, `${half.server} 发出 ${size}：WebSocket 帧。`];
  }
  if (!has(event, "status")) {
    if (!has(event, "body", "chunk.size")) return [`${half.server} sends ${size} more.`, `${half.server} 又发出 ${size}。`];
    const [body, zh] = ofBody(event, "响应体");
    return [`${half.server} sends ${size} more, ${body}.`, `${half.server} 又发出 ${size}，${zh}。`];
  }
  if (/ 100( |$)/.test(line)) {
    const isAsked = half.events.slice(0, event.index).some(({ kind }) => kind === "wsgi.input.call" || kind === "receive.call");
    if (!isAsked) {
      return [`${half.server} sends "${line}": the client may go on with its body, for which the application has not asked.`,
        `${half.server} 发出“${line}”：客户端可以继续发送请求体，虽然应用还没有索取它。`];
    }
    return [
      `${half.server} sends "${line}": the client may go on with its body. The application has only begun to read: it need not ask for this in words.`,
      `${half.server} 发出“${line}”：客户端可以继续发送请求体。应用只是开始读取，无须明确提出要求。`,
    ];
  }
  if (/ 101( |$)/.test(line)) {
    return [
      `${half.server} sends "${line}": from here on this connection carries frames, and HTTP no more.`,
      `${half.server} 发出“${line}”：从这里起，这个连接上传的是帧，不再是 HTTP。`,
    ];
  }
  const own = half.call === null
    ? [" This answer is its own: the application was not called.", "这个响应是它自己的：应用没有被调用。"]
    : ["", ""];
  return [
    `${half.server} sends ${size}, beginning with "${line}".${own[0]}`,
    `${half.server} 发出 ${size}，开头是“${line}”。${own[1]}`,
  ];
}

function called(half) {
  const keys = Object.keys(half.native).filter((key) => key !== "$more").length + (half.native.$more ?? 0);
  return half.isWsgi
    ? [
      `${half.server} calls the application with environ, a dict of ${keys} keys, and start_response, a function. Until this returns, its thread is in the application.`,
      `${half.server} 调用应用，传入 environ（有 ${keys} 个键的字典）和 start_response（函数）。在返回之前，它的线程一直在应用里。`,
    ]
    : [
      `${half.server} awaits the application with scope, a dict of ${keys} keys, and two functions to await: receive and send. No body is in it; that is asked for.`,
      `${half.server} await 应用，传入 scope（有 ${keys} 个键的字典）和两个可 await 的函数：receive 与 send。请求体不在其中，要另外索取。`,
    ];
}

function returned(half, event) {
  if (!half.isWsgi) {
    return [
      "The application's coroutine ends. It returns nothing: what it has to say, it says with send.",
      "应用的协程结束。它什么也不返回：要说的话都用 send 来说。",
    ];
  }
  const { type, length, file_wrapper: isServers } = event.data;
  if (isServers) {
    return [
      `The application returns ${half.server}'s own file wrapper: the server sends the file by itself, and nothing more crosses the seam.`,
      `应用返回 ${half.server} 自己的文件包装器：服务器自己发送文件，不再有东西越过边界。`,
    ];
  }
  const items = length === null ? ["", ""] : [` of ${counted(length, "item", "")}`, `，共 ${length} 项`];
  return [
    `The application returns an iterable, a ${plain(type)}${items[0]}: the server is to take the body out of it.`,
    `应用返回一个可迭代对象（${plain(type)}${items[1]}）：响应体由服务器从中取出。`,
  ];
}

function escapedTo(half, event) {
  if (isWhole(half, event)) {
    return [`${failed(event)} leaves the application. The answer is whole already: ${half.server} can only log it.`,
      `${failed(event)} 从应用中抛出。响应已经完整：${half.server} 只能记入日志。`];
  }
  return isBegun(half, event)
    ? [`${failed(event)} leaves the application. The answer has begun: ${half.server} can only break it off.`,
      `${failed(event)} 从应用中抛出。响应已经开始：${half.server} 只能中断它。`]
    : [`${failed(event)} leaves the application. ${half.server} has to answer by itself.`,
      `${failed(event)} 从应用中抛出。只好由 ${half.server} 自己来回答。`];
}

function received(half, { data: { message } }) {
  const size = bytes(sizeOf(message.body));
  switch (message.type) {
    case "http.request":
      if (!sizeOf(message.body) && !message.more_body) {
        return ["A message without bytes, and more_body is false: the body is at its end.",
          "一条没有字节的消息，more_body 为假：请求体已读完。"];
      }
      return message.more_body
        ? [`A message with ${size} of the body; more_body says that there is more.`,
          `一条消息，带来请求体的 ${size}；more_body 表示后面还有。`]
        : [`A message with ${size} of the body, and with that it is complete: more_body is false.`,
          `一条消息，带来请求体的 ${size}，至此完整：more_body 为假。`];
    case "http.disconnect":
      return ["http.disconnect: the client is gone, or the answer was complete.",
        "http.disconnect：客户端走了，或者响应已经完成。"];
    case "websocket.connect":
      return ["websocket.connect: a client asks for a WebSocket. The application can accept it, or close it.",
        "websocket.connect：客户端请求建立 WebSocket。应用可以接受，也可以关闭。"];
    case "websocket.receive": {
      const what = shortened(written(message.text ?? message.bytes));
      return [`A message of the client's: ${what}. Of frames and masks the application sees nothing.`,
        `客户端的一条消息：${what}。应用看不到帧和掩码。`];
    }
    case "websocket.disconnect":
      return [`websocket.disconnect: the conversation is over, with code ${message.code}.`,
        `websocket.disconnect：会话结束，代码 ${message.code}。`];
    default:
      return [`A message: ${plain(message.type)}.`, `一条消息：${plain(message.type)}。`];
  }
}

function sent(half, event) {
  const { message } = event.data;
  const size = bytes(sizeOf(message.body));
  switch (message.type) {
    case "http.response.start":
      return [
        `The application sends status ${message.status} and ${counted(pairsOf(message.headers).length, "header", "个响应头")}, in a message; the body will be in others. When they leave is for ${half.server} to decide.`,
        `应用用一条消息发出状态码 ${message.status} 和 ${counted(pairsOf(message.headers).length, "", "个响应头")}；响应体在别的消息里。何时真正发出由 ${half.server} 决定。`,
      ];
    case "http.response.body":
      return message.more_body
        ? [`The application sends ${size} of the body; more_body says that there will be more.`,
          `应用发出响应体的 ${size}；more_body 表示后面还有。`]
        : [`The application sends ${size} of the body, and with that it is complete: more_body is false, as it is where it is left out.`,
          `应用发出响应体的 ${size}，至此完整：more_body 为假（省略时也是）。`];
    case "websocket.accept":
      return [`The application accepts the WebSocket; ${half.server} answers the handshake with 101.`,
        `应用接受了 WebSocket；${half.server} 用 101 回应握手。`];
    case "websocket.send": {
      const what = shortened(written(message.text ?? message.bytes));
      return [`The application sends a message: ${what}. ${half.server} makes a frame of it.`,
        `应用发出一条消息：${what}。${half.server} 把它做成帧。`];
    }
    case "websocket.http.response.start":
      return [`The application refuses the WebSocket with an answer of its own: status ${message.status}.`,
        `应用用自己的响应拒绝了 WebSocket：状态码 ${message.status}。`];
    case "websocket.http.response.body":
      return [`The application sends ${size} of that answer's body.`, `应用发出该响应体的 ${size}。`];
    case "websocket.close":
      if (!isAccepted(half, event)) {
        return [`The application closes the WebSocket before it was accepted: ${half.server} refuses the handshake, with 403.`,
          `应用在接受之前就关闭了 WebSocket：${half.server} 用 403 拒绝握手。`];
      }
      return [`The application closes the WebSocket, with code ${message.code ?? 1000}.`,
        `应用关闭 WebSocket，代码 ${message.code ?? 1000}。`];
    default:
      return [`The application sends ${plain(message.type)}.`, `应用发出 ${plain(message.type)}。`];
  }
}

function matched(half, data) {
  if (data.route !== null) {
    const params = argumentsOf({ data: { arguments: data.path_params } });
    return params
      ? [`The router finds the route ${plain(data.route)}, and in the path: ${shortened(params)}.`,
        `路由匹配到 ${plain(data.route)}，并从路径中取出：${shortened(params)}。`]
      : [`The router finds the route ${plain(data.route)}.`, `路由匹配到 ${plain(data.route)}。`];
  }
  if (data.redirect) {
    return [`No route has this path, but one has ${plain(data.redirect)}: the client is sent there.`,
      `没有路由匹配这个路径，但 ${plain(data.redirect)} 有：让客户端去那里。`];
  }
  if (data.allow?.length) {
    if (half.isWebSocket) {
      return ["A route has this path, but not for a WebSocket.", "有路由匹配这个路径，但不是 WebSocket 路由。"];
    }
    const methods = data.allow.map(plain).join(", ");
    return [`Routes have this path, but not for this method; only for ${methods}.`,
      `有路由匹配这个路径，但不是这个方法；只有 ${methods}。`];
  }
  return ["No route has this path: no handler will be called.", "没有路由匹配这个路径：不会调用处理函数。"];
}

function handled(half, event) {
  const name = shortened(callOf(half, event));
  const called = ownerOf(half, event) === "yours"
    ? [`Your handler is called: ${name}`, `调用你的处理函数：${name}`]
    : [`A handler of the framework's own is called: ${name}`, `调用框架自带的处理函数：${name}`];
  if (half.call && isSamePlace(half.call, event)) {
    return half.isWsgi
      ? [`${called[0]}, right here, in the server's own thread.`, `${called[1]}，就在服务器自己的线程里。`]
      : [`${called[0]}, awaited in the server's own task.`, `${called[1]}，在服务器自己的任务里被 await。`];
  }
  const place = placeOf(event);
  if (!half.isWsgi && half.call?.where?.thread === event.where?.thread) {
    return [`${called[0]}, in ${place}, the same loop: others get their turn whenever it awaits.`,
      `${called[1]}，在${place} 中，同一个事件循环：它每次 await 时，别人才轮得到。`];
  }
  return half.isWsgi
    ? [`${called[0]}, in ${place}; the server's thread waits for it.`, `${called[1]}，在${place} 中；服务器的线程等着它。`]
    : [`${called[0]}, in ${place}; the loop goes on meanwhile.`, `${called[1]}，在${place} 中；其间事件循环继续。`];
}
