package main

import (
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers and values of proto/coreweave/sandbox/v1, as far as they are
// needed here.
const (
	createSandboxField = 1 // CreateSandboxRequest.sandbox

	sandboxIDField     = 1 // Sandbox and every request that names one
	sandboxSpecField   = 2
	sandboxStatusField = 3

	statusState       = 1
	statusCreateTime  = 3
	statusStartTime   = 4
	statusEndTime     = 5
	statusExitCode    = 9
	statusRunner      = 13
	statusRunnerGroup = 14

	stateRunning    = 2
	stateTerminated = 6

	execInit  = 1 // ExecStreamRequest
	execStdin = 2
	execClose = 4

	initSandbox = 1 // ExecStreamInit
	initCommand = 2

	execReady  = 1 // ExecStreamResponse
	execOutput = 2
	execExit   = 3

	filePath    = 2 // ReadFileRequest
	fileContent = 1 // ReadFileResponse

	logsContainer = 5 // StreamLogsRequest

	entryData       = 1 // LogEntry
	entrySession    = 3
	entryNextOffset = 4

	outputStream = 1 // ExecStreamOutput
	outputData   = 2
	stdout       = 1
)

func appendBytes(b []byte, field protowire.Number, value []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, value)
}

func appendString(b []byte, field protowire.Number, value string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, value)
}

func appendInt(b []byte, field protowire.Number, value int) []byte {
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(int64(value)))
}

func timestamp(t time.Time) []byte {
	return appendInt(appendInt(nil, 1, int(t.Unix())), 2, t.Nanosecond())
}

// eachField calls fn with every length-delimited field of a message and says
// whether the whole message could be read.
func eachField(b []byte, fn func(field protowire.Number, value []byte)) bool {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
				return false
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return false
		}
		fn(field, value)
		b = b[n:]
	}
	return true
}

// field returns the last value of a length-delimited field.
func field(b []byte, wanted protowire.Number) []byte {
	var found []byte
	eachField(b, func(f protowire.Number, value []byte) {
		if f == wanted {
			found = value
		}
	})
	return found
}

var (
	started    = time.Now()
	readyReply = fixed(appendBytes(nil, execReady, appendBytes(nil, 1, timestamp(started))))
	exitReply  = exitReplies()
)

func exitReplies() (replies [256]*message) {
	for code := range replies {
		var exit []byte
		if code != 0 {
			exit = appendInt(exit, 1, code)
		}
		exit = appendBytes(exit, 2, timestamp(started))
		replies[code] = fixed(appendBytes(nil, execExit, exit))
	}
	return replies
}

// outputHead is all of an output message that precedes its n bytes of data.
func outputHead(n int) []byte {
	inner := appendInt(nil, outputStream, stdout)
	inner = protowire.AppendTag(inner, outputData, protowire.BytesType)
	inner = protowire.AppendVarint(inner, uint64(n))
	head := protowire.AppendTag(nil, execOutput, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(inner)+n))
	return append(head, inner...)
}

func outputReply(data []byte) *message { return fixed(append(outputHead(len(data)), data...)) }

// request is what one message of the client's side of an exec says.
type request struct {
	field       protowire.Number
	offset, len int // of the field's value in the message
}

// parseRequest reads no more than the head of the message, where the one field
// of an ExecStreamRequest has its number and its length.
func parseRequest(bufs mem.BufferSlice) (request, bool) {
	var head [1 + 10]byte
	n := 0
	for _, b := range bufs {
		n += copy(head[n:], b.ReadOnlyData())
		if n == len(head) {
			break
		}
	}
	number, kind, tag := protowire.ConsumeTag(head[:n])
	if tag < 0 || kind != protowire.BytesType {
		return request{}, false
	}
	size, varint := protowire.ConsumeVarint(head[tag:n])
	if varint < 0 || size != uint64(bufs.Len()-tag-varint) {
		return request{}, false
	}
	return request{number, tag + varint, int(size)}, true
}

// echo makes output of the stdin that lies at in.offset of bufs, sharing its memory.
func echo(bufs mem.BufferSlice, in request) *message {
	out := make(mem.BufferSlice, 1, 1+len(bufs))
	out[0] = mem.SliceBuffer(outputHead(in.len))
	skip := in.offset
	for _, b := range bufs {
		if skip >= b.Len() {
			skip -= b.Len()
			continue
		}
		out = append(out, b.Slice(skip, b.Len()))
		skip = 0
	}
	return &message{out}
}
