# Checks that no function stands in two object files of which one needs a newer processor.
#
# The linker keeps one of two equal inline functions, whichever it likes: if it keeps the one that
# was compiled for AVX-512, portable code that calls it dies on an older processor. What a header
# shares between targets must therefore be inlined for certain, be a template on the target, or have
# internal linkage (static, or an unnamed namespace).
#
#   cmake -DNM=nm -DFILES=libcarousel_kernel.a,binding.cpp.o -DTARGETS=avx2,avx512 -P shared_code.cmake

string(REPLACE "," ";" files "${FILES}")
execute_process(COMMAND ${NM} --demangle --defined-only ${files}
                OUTPUT_VARIABLE listing RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "${NM} could not read ${FILES}")
endif()

string(REPLACE "," "|" special "${TARGETS}")
string(REPLACE ";" "," listing "${listing}")
string(REPLACE "[" "(" listing "${listing}")  # a lone bracket would join the lines of a CMake list
string(REPLACE "]" ")" listing "${listing}")
string(REPLACE "\n" ";" lines "${listing}")

set(member "")
set(members 0)
set(wrong "")
foreach(line IN LISTS lines)
  if(line MATCHES "^(.*/)?([a-z0-9_]+)\\.cpp\\.(o|obj):$")
    set(member ${CMAKE_MATCH_2})
    math(EXPR members "${members} + 1")
  elseif(line MATCHES "^[0-9a-f]+ W (.*)$")
    set(name "${CMAKE_MATCH_1}")
    string(MD5 key "${name}")
    # Both symbols of one constructor have one name here, but they are in one file.
    if(DEFINED owner_${key} AND NOT owner_${key} MATCHES "(^| )${member}$")
      set(owner_${key} "${owner_${key}} ${member}")
      if(owner_${key} MATCHES "(^| )(${special})( |$)")
        string(APPEND wrong "\n  ${name}: in ${owner_${key}}")
      endif()
    else()
      set(owner_${key} "${member}")
    endif()
  endif()
endforeach()

if(members EQUAL 0)
  message(FATAL_ERROR "${NM} listed no object file in ${FILES}: this test would see nothing")
endif()
if(wrong)
  message(FATAL_ERROR "code compiled for different processors is shared:${wrong}\n"
          "Make it a template on the target, or give it internal linkage")
endif()
message(STATUS "${members} object files share no code")
