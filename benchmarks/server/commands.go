package main

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What the words of a command mean here; nothing is ever started. Between ready
// and exit each of them sends what its name says.
//
//	true, false, exit CODE         nothing
//	echo WORD...                   the words
//	bytes N                        N bytes without a newline
//	longline N                     N bytes, the last one a newline
//	lines COUNT LENGTH FRAME       lines of LENGTH bytes with their newline, in messages of FRAME bytes
//	linesf COUNT LENGTH            the same, one message each
//	sleep SECONDS                  nothing, after a while
//	hang                           nothing, and no exit either
//	open                           how many commands hang
//	tick COUNT MILLISECONDS        at each tick a line with the time it was sent, in ns since 1970
//	cat                            stdin
//	sink                           how many bytes of stdin there were
//	/bin/sh -c SCRIPT NAME PATH    what the client's script of that name is for: see files.go
//	/bin/cat -- PATH               the file
var commands = map[string]func(grpc.ServerStream, args) error{
	"true":     func(out grpc.ServerStream, _ args) error { return exit(out, 0) },
	"false":    func(out grpc.ServerStream, _ args) error { return exit(out, 1) },
	"exit":     func(out grpc.ServerStream, a args) error { return exit(out, a.number(0)) },
	"echo":     echoWords,
	"bytes":    func(out grpc.ServerStream, a args) error { return filler(out, a.number(0), "") },
	"longline": func(out grpc.ServerStream, a args) error { return filler(out, a.number(0)-1, "\n") },
	"lines":    func(out grpc.ServerStream, a args) error { return lines(out, a.number(0), a.number(1), a.number(2)) },
	"linesf":   func(out grpc.ServerStream, a args) error { return lines(out, a.number(0), a.number(1), a.number(1)) },
	"sleep":    sleep,
	"hang":     hang,
	"open":     func(out grpc.ServerStream, _ args) error { return sayNumber(out, hanging.Load()) },
	"tick":     tick,
	"cat":      cat,
	"sink":     sink,
	"/bin/sh":  shell,
	"/bin/cat": func(out grpc.ServerStream, a args) error { return printFile(out, a.words[len(a.words)-1]) },
}

const (
	frameSize = 32 << 10 // of output that does not say otherwise
	maxLine   = 4096     // as many different frames may have to be kept
)

// args are a command's words after its name. What is wrong with one is kept
// until the command has read them all.
type args struct {
	words []string
	bad   *error
}

func (a args) number(i int) int {
	if i >= len(a.words) {
		*a.bad = status.Errorf(codes.InvalidArgument, "argument %d is missing", i+1)
		return 0
	}
	n, err := strconv.Atoi(a.words[i])
	if err != nil || n < 0 {
		*a.bad = status.Errorf(codes.InvalidArgument, "%q is not a count", a.words[i])
		return 0
	}
	return n
}

func run(out grpc.ServerStream, argv []string) error {
	command, ok := commands[argv[0]]
	if !ok {
		return exit(out, 127)
	}
	var bad error
	err := command(out, args{argv[1:], &bad})
	if bad != nil {
		return bad
	}
	return err
}

func exit(out grpc.ServerStream, code int) error { return out.SendMsg(exitReply[code&255]) }

func say(out grpc.ServerStream, data []byte) error {
	if len(data) > 0 {
		if err := out.SendMsg(outputReply(data)); err != nil {
			return err
		}
	}
	return exit(out, 0)
}

func sayNumber(out grpc.ServerStream, n int64) error { return say(out, strconv.AppendInt(nil, n, 10)) }

func echoWords(out grpc.ServerStream, a args) error {
	return say(out, []byte(strings.Join(a.words, " ")+"\n"))
}

var fillFrame = sync.OnceValue(func() *message { return outputReply(bytes.Repeat([]byte{'x'}, frameSize)) })

func filler(out grpc.ServerStream, n int, end string) error {
	frame := fillFrame()
	for ; n >= frameSize; n -= frameSize {
		if err := out.SendMsg(frame); err != nil {
			return err
		}
	}
	return say(out, append(bytes.Repeat([]byte{'x'}, max(n, 0)), end...))
}

// text is n bytes of an endless text of equal lines, from an offset into a line on.
func text(offset, length, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		if at := (offset + i) % length; at == length-1 {
			b[i] = '\n'
		} else {
			b[i] = 'a' + byte(at%26)
		}
	}
	return b
}

type frameKey struct{ offset, length, size int }

var frames sync.Map // frameKey -> *message

func frame(key frameKey) *message {
	if f, ok := frames.Load(key); ok {
		return f.(*message)
	}
	f, _ := frames.LoadOrStore(key, outputReply(text(key.offset, key.length, key.size)))
	return f.(*message)
}

func lines(out grpc.ServerStream, count, length, size int) error {
	if length < 1 || length > maxLine || size < 1 || size > 1<<20 {
		return status.Errorf(codes.InvalidArgument, "lines of %d bytes in frames of %d: at most %d and %d, at least 1",
			length, size, maxLine, 1<<20)
	}
	total := count * length
	cycle := make([]*message, 0, 64) // the frames up to where the text begins anew
	for offset := 0; len(cycle) == 0 || offset != 0; offset = (offset + size) % length {
		cycle = append(cycle, frame(frameKey{offset, length, size}))
	}
	at := 0
	for ; total >= size; total -= size {
		if err := out.SendMsg(cycle[at]); err != nil {
			return err
		}
		if at++; at == len(cycle) {
			at = 0
		}
	}
	return say(out, text(at*size%length, length, total))
}

func sleep(out grpc.ServerStream, a args) error {
	if len(a.words) != 1 {
		return status.Error(codes.InvalidArgument, "sleep takes the seconds")
	}
	d, err := time.ParseDuration(a.words[0] + "s")
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "%q is not a number of seconds", a.words[0])
	}
	return after(out, d, func() error { return exit(out, 0) })
}

func after(out grpc.ServerStream, d time.Duration, then func() error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return then()
	case <-out.Context().Done():
		return out.Context().Err()
	}
}

var hanging atomic.Int64

func hang(out grpc.ServerStream, _ args) error {
	hanging.Add(1)
	defer hanging.Add(-1)
	<-out.Context().Done()
	return out.Context().Err()
}

func tick(out grpc.ServerStream, a args) error {
	count, pause := a.number(0), time.Duration(a.number(1))*time.Millisecond
	for range count {
		err := after(out, pause, func() error {
			now := strconv.AppendInt(nil, time.Now().UnixNano(), 10)
			return out.SendMsg(outputReply(append(now, '\n')))
		})
		if err != nil {
			return err
		}
	}
	return exit(out, 0)
}

// stdin calls take with each piece of stdin, until the client closes it.
func stdin(in grpc.ServerStream, take func(*message, request) error) error {
	for {
		var m message
		if err := in.RecvMsg(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r, ok := parseRequest(m.bufs)
		var err error
		switch {
		case !ok:
			err = status.Error(codes.InvalidArgument, "not an ExecStreamRequest of one field")
		case r.field == execStdin && r.len > 0:
			err = take(&m, r)
		}
		m.free()
		if err != nil {
			return err
		}
		if r.field == execClose {
			return nil
		}
	}
}

func cat(both grpc.ServerStream, _ args) error {
	err := stdin(both, func(m *message, r request) error { return both.SendMsg(echo(m.bufs, r)) })
	if err != nil {
		return err
	}
	return exit(both, 0)
}

func sink(both grpc.ServerStream, _ args) error {
	total := int64(0)
	err := stdin(both, func(_ *message, r request) error {
		total += int64(r.len)
		return nil
	})
	if err != nil {
		return err
	}
	return sayNumber(both, total)
}
