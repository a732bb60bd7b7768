package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// floorSandbox exists from the start, for clients that only run commands.
const floorSandbox = "floor"

type sandbox struct {
	id      string
	spec    []byte
	created []byte
	ended   atomic.Pointer[[]byte] // when, once it has
}

func (s *sandbox) encode() []byte {
	state := stateRunning
	ended := s.ended.Load()
	if ended != nil {
		state = stateTerminated
	}
	st := appendInt(nil, statusState, state)
	st = appendBytes(st, statusCreateTime, s.created)
	st = appendBytes(st, statusStartTime, s.created)
	if ended != nil {
		st = appendBytes(st, statusEndTime, *ended)
		st = appendInt(st, statusExitCode, 0)
	}
	st = appendString(st, statusRunner, "runner-0")
	st = appendString(st, statusRunnerGroup, "group-0")

	b := appendString(nil, sandboxIDField, s.id)
	b = appendBytes(b, sandboxSpecField, s.spec)
	return appendBytes(b, sandboxStatusField, st)
}

// service is the sandbox service as its clients see it. Everything is at once:
// a sandbox runs when it is created and is gone when it is deleted.
type service struct {
	made  atomic.Int64
	boxes sync.Map // id -> *sandbox
}

func newService() *service {
	s := &service{}
	s.add(floorSandbox, nil)
	return s
}

func (s *service) add(id string, spec []byte) *sandbox {
	box := &sandbox{id: id, spec: spec, created: timestamp(time.Now())}
	s.boxes.Store(id, box)
	return box
}

func (s *service) find(id string) (*sandbox, error) {
	if box, ok := s.boxes.Load(id); ok {
		return box.(*sandbox), nil
	}
	return nil, status.Errorf(codes.NotFound, "there is no sandbox %q", id)
}

func (s *service) create(request []byte) ([]byte, error) {
	spec := field(field(request, createSandboxField), sandboxSpecField)
	id := fmt.Sprintf("bench-%06d", s.made.Add(1))
	return s.add(id, append([]byte(nil), spec...)).encode(), nil
}

func (s *service) get(request []byte) ([]byte, error) {
	box, err := s.find(string(field(request, sandboxIDField)))
	if err != nil {
		return nil, err
	}
	return box.encode(), nil
}

func (s *service) delete(request []byte) ([]byte, error) {
	box, err := s.find(string(field(request, sandboxIDField)))
	if err != nil {
		return nil, err
	}
	now := timestamp(time.Now())
	box.ended.CompareAndSwap(nil, &now)
	return appendBytes(nil, 1, box.encode()), nil
}

func (s *service) list([]byte) ([]byte, error) {
	var reply []byte
	s.boxes.Range(func(_, box any) bool {
		if b := box.(*sandbox); b.ended.Load() == nil && b.id != floorSandbox {
			reply = appendBytes(reply, 1, b.encode())
		}
		return true
	})
	return reply, nil
}

func (s *service) exec(_ any, stream grpc.ServerStream) error {
	var first message
	if err := stream.RecvMsg(&first); err != nil {
		return err
	}
	init := field(first.bufs.Materialize(), execInit)
	first.free()
	if _, err := s.find(string(field(init, initSandbox))); err != nil {
		return err
	}
	var argv []string
	eachField(init, func(f protowire.Number, value []byte) {
		if f == initCommand {
			argv = append(argv, string(value))
		}
	})
	if len(argv) == 0 {
		return status.Error(codes.InvalidArgument, "the first message must be init, with a command")
	}
	if err := stream.SendMsg(readyReply); err != nil {
		return err
	}
	return run(stream, argv)
}

func unary(name string, answer func([]byte) ([]byte, error)) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request message
			if err := decode(&request); err != nil {
				return nil, err
			}
			defer request.free()
			reply, err := answer(request.bufs.Materialize())
			if err != nil {
				return nil, err
			}
			return fixed(reply), nil
		},
	}
}

// describe lists the methods there are. What is missing is UNIMPLEMENTED, as a
// client expects of a service without it.
func (s *service) describe() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "coreweave.sandbox.v1.SandboxService",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			unary("CreateSandbox", s.create),
			unary("GetSandbox", s.get),
			unary("DeleteSandbox", s.delete),
			unary("ListSandboxes", s.list),
			unary("ReadFile", s.readFile),
			unary("WriteFile", s.writeFile),
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "StreamExec", Handler: s.exec, ServerStreams: true, ClientStreams: true},
			{StreamName: "StreamLogs", Handler: s.logs, ServerStreams: true},
		},
	}
}
