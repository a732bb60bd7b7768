package main

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// logs streams a log of COUNT lines of LENGTH bytes, in entries of SIZE bytes
// that end where lines end. The request's container says how much:
// "COUNT LENGTH SIZE". That is the one text in it which is the caller's.
func (s *service) logs(_ any, stream grpc.ServerStream) error {
	var first message
	if err := stream.RecvMsg(&first); err != nil {
		return err
	}
	request := first.bufs.Materialize()
	first.free()
	if _, err := s.find(string(field(request, sandboxIDField))); err != nil {
		return err
	}
	var count, length, size int
	words := string(field(request, logsContainer))
	if n, _ := fmt.Sscan(words, &count, &length, &size); n != 3 || length < 1 || size < length || size > 1<<20 {
		return status.Errorf(codes.InvalidArgument, "container is %q, not COUNT LENGTH SIZE", words)
	}
	piece := text(0, length, size/length*length)
	for left, sent := count*length, 0; left > 0; left -= len(piece) {
		piece = piece[:min(left, len(piece))]
		sent += len(piece)
		entry := appendBytes(make([]byte, 0, len(piece)+32), entryData, piece)
		entry = appendString(entry, entrySession, "session-1")
		entry = appendInt(entry, entryNextOffset, sent)
		if err := stream.SendMsg(fixed(entry)); err != nil {
			return err
		}
	}
	return nil
}
